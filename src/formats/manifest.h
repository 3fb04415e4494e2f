// SPDX-License-Identifier: Apache-2.0
// wanslim_manifest.json: what was made from what, and the checksum of every tensor, so that a folder can be
// verified years later. The same input and command give the same text: no times, no paths, no host names.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/format.h"

namespace wanslim {

inline constexpr std::string_view kManifestName = "wanslim_manifest.json";

// A LoRA that was merged into the weights before they were quantized.
struct ManifestLora {
  std::string file;  // its name, without the folder
  double strength = 1;
  std::string hash;  // XXH3-128 of the whole file
  bool operator==(const ManifestLora&) const = default;
};

struct Manifest {
  std::string version;      // of the program
  std::string format;       // "mindie"
  std::string numerics;     // "precise" or "compat"
  std::string recipe;       // where it came from
  std::string recipe_hash;  // XXH3-128 of its text
  std::string variant;      // "t2v-1.3B"
  std::string source_hash;  // XXH3-128 over official name, dtype, shape and bytes of what was quantized
  int64_t source_tensors = 0;
  uint64_t source_bytes = 0;
  // Layers that are not those of the source but compute the same together, and the channels of a head that
  // were rotated (LayerPlan).
  std::map<std::string, int64_t> rotated_outputs, rotated_inputs;
  std::vector<ManifestLora> loras;             // in the order of merging
  std::map<std::string, int64_t> layers;       // scheme -> number of Linears
  std::map<std::string, std::string> files;    // file -> XXH3-128, files without tensors only
  std::map<std::string, std::string> tensors;  // tensor as named in the output -> XXH3-128 of its bytes
};

std::string manifest_text(const Manifest& manifest);
Manifest parse_manifest(std::string_view text, std::string_view where);
// nullopt if the folder has none.
std::optional<Manifest> read_manifest(const Path& folder);

// "W8A8_DYNAMIC", "FLOAT", ...: for counts and reports.
std::string scheme_label(const QuantScheme& scheme);

}  // namespace wanslim
