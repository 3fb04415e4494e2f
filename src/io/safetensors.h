// SPDX-License-Identifier: Apache-2.0
// The .safetensors container.
//   u64 header_bytes, little-endian | JSON header, padded with spaces | tensor bytes, back to back
//   header: {"__metadata__": {string: string}, "name": {"dtype": "F32", "shape": [..], "data_offsets":
//   [begin, end]}}
// Offsets count from the end of the header. A file is refused unless its tensors cover the data exactly.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace wanslim {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
  bool operator==(const SafetensorsEntry&) const = default;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by offset
  std::map<std::string, std::string> metadata;
};

constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // the limit of the reference library

// Length of the JSON header from the first 8 bytes; Error if it cannot fit a file of `file_bytes`.
uint64_t safetensors_header_bytes(std::span<const std::byte, 8> prefix, uint64_t file_bytes,
                                  std::string_view where);

// Checks everything about the header `json` of a file of `file_bytes`; Errors name `where` and the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t file_bytes,
                                           std::string_view where);

// Lays out a file for writing: assigns `offset` and `bytes` and returns the prefix and header to write at 0.
// Order, text and padding are those of the reference library: by dtype (largest first), then by name.
struct SafetensorsLayout {
  std::vector<SafetensorsEntry> entries;
  std::string head;  // u64 + JSON + padding
  uint64_t file_bytes = 0;
};
SafetensorsLayout layout_safetensors(std::vector<SafetensorsEntry> entries,
                                     const std::map<std::string, std::string>& metadata = {});

}  // namespace wanslim
