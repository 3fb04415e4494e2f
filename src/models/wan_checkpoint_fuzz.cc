// SPDX-License-Identifier: Apache-2.0
// Any set of names, shapes and dtypes with any config.json either is sorted into a bounded match or refused
// with an Error. Input: config text, a zero byte, then records of 4 bytes {name, naming, kind, extent} that
// add tensors of a small transformer, as they are or changed, or names of the input's own. One config text in
// eight stands beside a whole transformer, which takes ten times as long.
#include <cstring>

#include "base/error.h"
#include "models/wan_checkpoint.h"

namespace {

using namespace wanslim;

const std::vector<TensorSpec>& known() {
  static const std::vector<TensorSpec> kSpecs = tensor_specs({.dim = 128,
                                                              .ffn_dim = 96,
                                                              .heads = 1,
                                                              .layers = 1,
                                                              .has_image_condition = true,
                                                              .has_image_position = true,
                                                              .vace_layers = {0}});
  return kSpecs;
}

StoredTensor from_record(const uint8_t* r, std::string_view rest) {
  const TensorSpec& spec = known()[r[0] % known().size()];
  StoredTensor t{.name = *name_in(static_cast<Naming>(r[1] % 3), spec.name), .shape = spec.shape};
  if (r[1] & 64) t.name = std::string(rest.substr(0, r[0] % 40));
  if (r[1] & 32) t.name += rest.substr(0, r[3] % 8);
  t.dtype = all_dtypes()[r[2] % 16 < 12 ? 11 : r[2] % all_dtypes().size()].dtype;
  if (r[2] & 64 && !t.shape.empty()) t.shape[r[2] % t.shape.size()] = int64_t{r[3]} << (r[2] & 32 ? 52 : 0);
  if (r[2] & 128) t.shape.resize(r[3] % 6);
  return t;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view config = text.substr(0, text.find('\0'));
  text.remove_prefix(std::min(size, config.size() + 1));
  std::vector<StoredTensor> stored;
  if (config.size() % 8 == 1) {
    for (const TensorSpec& spec : known()) {
      if (!spec.vace) stored.push_back({.name = spec.name, .shape = spec.shape});
    }
  }
  for (; text.size() >= 4 && stored.size() < 1000; text.remove_prefix(4))
    stored.push_back(from_record(reinterpret_cast<const uint8_t*>(text.data()), text.substr(4)));
  try {
    const ConfigText given{.text = std::string(config), .where = "config.json"};
    const WanMatch match = match_wan(stored, config.empty() ? std::nullopt : std::optional(given), "fuzz");
    CHECK(match.tensors.size() + match.misshapen.size() + match.missing.size() ==
          tensor_specs(match.geometry).size());
    CHECK(match.geometry.layers <= static_cast<int64_t>(stored.size()));
    require_complete(match, "fuzz");
  } catch (const Error&) {
  }
  return 0;
}
