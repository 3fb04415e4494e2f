// SPDX-License-Identifier: Apache-2.0
#include "models/wan_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/spelling.h"
#include "models/wan_config.h"
#include "models/wan_geometry.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxConfigBytes = 1'000'000;
constexpr size_t kShown = 3;  // names of each kind in an error

bool is_plain_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

// Endings of the tensors that quantization adds: MindIE-SD, msModelSlim, LightX2V, ComfyUI.
constexpr std::string_view kQuantEndings[] = {
    ".weight_scale", ".weight_offset", ".scale_weight", ".scale_input", ".input_scale",   ".deq_scale",
    ".quant_bias",   ".comfy_quant",   "scaled_fp8",    ".mul_scale",   ".weight_scale_2"};

void refuse_quantized(std::span<const StoredTensor> stored, std::string_view where) {
  for (const StoredTensor& t : stored) {
    const bool quantized = std::any_of(std::begin(kQuantEndings), std::end(kQuantEndings),
                                       [&](std::string_view ending) { return t.name.ends_with(ending); });
    const bool codes = size_of(t.dtype) == 1 && t.name.ends_with(".weight");
    if (!quantized && !codes) continue;
    throw Error({.what = fmt::format("the checkpoint is quantized already: it holds \"{}\" ({})",
                                     printable(t.name), name_of(t.dtype)),
                 .where = std::string(where),
                 .hint = "give the float checkpoint (F32, BF16 or F16) that it was made from"});
  }
}

// Official name -> stored tensor, for the names that belong to the scheme.
using Found = std::map<std::string, const StoredTensor*, std::less<>>;

Found by_official_name(std::span<const StoredTensor> stored, WanMatch& match, std::string_view where) {
  std::vector<std::string> names;
  for (const StoredTensor& t : stored) names.push_back(t.name);
  match.naming = detect_naming(names);
  Found found;
  for (const StoredTensor& t : stored) {
    if (auto name = official_name(match.naming, t.name)) {
      found.emplace(std::move(*name), &t);
    } else {
      match.unexpected.push_back(&t);
    }
  }
  if (found.size() >= match.unexpected.size() && !found.empty()) return found;
  throw Error(
      {.what = fmt::format("this is no Wan2.1 transformer: {} of its {} tensors are of another model{}",
                           match.unexpected.size(), stored.size(),
                           stored.empty() ? "" : ", \"" + printable(match.unexpected[0]->name) + "\" first"),
       .where = std::string(where),
       .hint = "give the folder of the transformer's float weights (diffusion_pytorch_model*.safetensors)"});
}

// Sorts the found tensors into the match by what the geometry asks for.
void sort_out(Found found, WanMatch& match) {
  for (TensorSpec& spec : tensor_specs(match.geometry)) {
    auto it = found.find(spec.name);
    if (it == found.end()) {
      match.missing.push_back(*name_in(match.naming, spec.name));
      continue;
    }
    const StoredTensor* stored = it->second;
    found.erase(it);
    if (!is_plain_float(stored->dtype)) match.wrong_dtype.push_back(stored);
    auto& list = stored->shape == spec.shape ? match.tensors : match.misshapen;
    list.push_back({.spec = std::move(spec), .stored = stored});
  }
  for (const auto& [name, stored] : found) match.unexpected.push_back(stored);
}

// "3 tensors are missing: a, b, c" from the first few of `items`.
template <class T, class Text>
void list(std::vector<std::string>& parts, const std::vector<T>& items, std::string_view kind, Text text) {
  if (items.empty()) return;
  std::string part = fmt::format("{} {} {}", items.size(), items.size() == 1 ? "tensor" : "tensors", kind);
  for (size_t i = 0; i < std::min(items.size(), kShown); ++i)
    part += fmt::format("{} {}", i == 0 ? ":" : ",", text(items[i]));
  if (items.size() > kShown) part += ", ...";
  parts.push_back(std::move(part));
}

}  // namespace

WanMatch match_wan(std::span<const StoredTensor> stored, const std::optional<ConfigText>& config,
                   std::string_view where) {
  refuse_quantized(stored, where);
  WanMatch match;
  Found found = by_official_name(stored, match, where);
  ShapeMap shapes;
  for (const auto& [name, tensor] : found) shapes.emplace(name, tensor->shape);
  match.geometry = geometry_from_shapes(shapes, where);
  if (config) apply_config(config->text, config->where, match.geometry);
  check_geometry(match.geometry, where);
  sort_out(std::move(found), match);
  return match;
}

void require_complete(const WanMatch& match, std::string_view where) {
  if (match.complete()) return;
  std::vector<std::string> parts;
  list(parts, match.missing, "missing", [](const std::string& name) { return "\"" + name + "\""; });
  list(parts, match.unexpected, "unexpected", [&](const StoredTensor* t) {
    return fmt::format("\"{}\"{}", printable(t->name).substr(0, 120), did_you_mean(t->name, match.missing));
  });
  list(parts, match.misshapen, "of the wrong shape", [](const WanTensor& t) {
    return fmt::format("\"{}\" is {}, expected {}", t.stored->name, to_string(t.stored->shape),
                       to_string(t.spec.shape));
  });
  list(parts, match.wrong_dtype, "of a dtype that is not F32, BF16 or F16",
       [](const StoredTensor* t) { return fmt::format("\"{}\" is {}", t->name, name_of(t->dtype)); });
  const WanGeometry& g = match.geometry;
  throw Error({.what = fmt::format("not a whole Wan2.1 {} transformer of {} blocks and width {}: {}",
                                   model_type(g), g.layers, g.dim, fmt::join(parts, "; ")),
               .where = std::string(where),
               .hint = "download the checkpoint again, with all its shards"});
}

std::optional<ConfigText> read_config(const Checkpoint& file) {
  const Path path = file.folder() / "config.json";
  if (!path_exists(path)) return std::nullopt;
  return ConfigText{.text = read_text(path, kMaxConfigBytes), .where = path.string()};
}

WanCheckpoint open_wan(const Path& path) {
  return open_wan(Checkpoint::open(path), path);
}

WanCheckpoint open_wan(Checkpoint file, const Path& path) {
  WanCheckpoint out;
  out.file_ = std::move(file);
  const std::string where = path.string();
  out.match_ = match_wan(out.file_.tensors(), read_config(out.file_), where);
  require_complete(out.match_, where);
  for (size_t i = 0; i < out.match_.tensors.size(); ++i) out.by_name_[out.match_.tensors[i].spec.name] = i;
  return out;
}

const WanTensor* WanCheckpoint::find(std::string_view official) const {
  auto it = by_name_.find(official);
  return it == by_name_.end() ? nullptr : &match_.tensors[it->second];
}

const WanTensor& WanCheckpoint::at(std::string_view official) const {
  if (const WanTensor* tensor = find(official)) return *tensor;
  throw Error({.what = fmt::format("there is no tensor \"{}\"", printable(official)),
               .where = file_.folder().string()});
}

}  // namespace wanslim
