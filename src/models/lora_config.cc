// SPDX-License-Identifier: Apache-2.0
#include "models/lora_config.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace wanslim {
namespace {

constexpr std::string_view kMetadataKey = "lora_adapter_metadata";
constexpr uint64_t kMaxConfig = 1 << 20;

// `prefix` stands before every key: diffusers packs several modules into one object.
AdapterConfig parse(const std::string& text, const std::string& where, const std::string& prefix) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw Error({.what = "this is no JSON object", .where = where});
  const auto find = [&](const char* key) -> const Json* {
    const auto found = json.find(prefix + key);
    return found == json.end() ? nullptr : &*found;
  };
  if (const Json* pattern = find("alpha_pattern"); pattern && pattern->is_object() && !pattern->empty()) {
    throw Error({.what = "\"alpha_pattern\" gives layers factors of their own, which is not read",
                 .where = where,
                 .hint = "save the adapter with an alpha in every layer (kohya's form)"});
  }
  AdapterConfig out;
  if (const Json* alpha = find("lora_alpha"); alpha && alpha->is_number()) out.alpha = alpha->get<double>();
  const Json* stabilized = find("use_rslora");
  out.rank_stabilized = stabilized && *stabilized == true;
  out.source = where;
  return out;
}

}  // namespace

double AdapterConfig::scale(int64_t rank) const {
  const auto ranks = static_cast<double>(rank);
  return alpha ? *alpha / (rank_stabilized ? std::sqrt(ranks) : ranks) : 1;
}

AdapterConfig read_adapter_config(const Checkpoint& checkpoint, const Path& file) {
  const auto packed = checkpoint.metadata().find(std::string(kMetadataKey));
  if (packed != checkpoint.metadata().end())
    return parse(packed->second, fmt::format("{} of {}", kMetadataKey, file.string()), "transformer.");
  const Path path = file.parent_path() / "adapter_config.json";
  if (!path_exists(path)) return {};
  return parse(read_text(path, kMaxConfig), path.string(), "");
}

}  // namespace wanslim
