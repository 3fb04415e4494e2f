// SPDX-License-Identifier: Apache-2.0
// The GGUF container, version 3 (version 2 is read too), little-endian.
//   "GGUF" u32 version | u64 tensors | u64 pairs | pairs | tensor infos | zeros up to the alignment | data
//   pair: string key | u32 type | value        string: u64 bytes | UTF-8
//   info: string name | u32 rank | u64 extents, innermost first | u32 type | u64 offset from the data's start
// Every tensor starts at a multiple of the alignment (the key general.alignment, else 32).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/quantized.h"

namespace wanslim {

// A tensor type, one row each. Of types that this program cannot decode only the size is known.
struct GgufType {
  uint32_t id = 0;
  std::string_view name;            // "F16", "Q4_K", ...
  int64_t elements = 1, bytes = 0;  // of a block; a block covers consecutive values of the innermost extent
  std::optional<DType> dtype = {};  // plain numbers
  Encoding encoding = Encoding::kFloat;  // block formats that can be decoded
};

const GgufType* find_gguf_type(uint32_t id);            // null if there is none
const GgufType* find_gguf_type(std::string_view name);  // any case
const GgufType* find_gguf_type(DType dtype);
const GgufType* find_gguf_type(Encoding encoding);

inline constexpr uint64_t kGgufAlignment = 32;
inline constexpr size_t kMaxGgufName = 127;  // ggml's limit on tensor names

struct GgufTensor {
  std::string name;
  const GgufType* type = nullptr;
  Shape shape;          // in elements, outermost first: the reverse of the file's order
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

struct GgufHeader {
  std::vector<GgufTensor> tensors;  // in the order of the file
  // Numbers and booleans as text; arrays of up to 16 numbers as "1,2,3", others as "[COUNT values]".
  std::map<std::string, std::string> metadata;
  uint64_t alignment = kGgufAlignment;
};

constexpr uint64_t kMaxGgufHeader = uint64_t{256} << 20;

// Reads the header from the first bytes of a file of `file_bytes`; nullopt if it goes on behind `prefix` and
// the file does too. Errors name `where` and the tensor or key. Checks names, ranks, sizes, alignment, that
// tensors lie in the file and do not overlap.
std::optional<GgufHeader> parse_gguf_header(std::span<const std::byte> prefix, uint64_t file_bytes,
                                            std::string_view where);

// Lays out a file: assigns offset and bytes in the given order and makes all that stands before the data.
using GgufValue = std::variant<uint32_t, float, bool, std::string, std::vector<uint8_t>, std::vector<int32_t>,
                               std::vector<float>, std::vector<std::string>>;
struct GgufLayout {
  std::vector<GgufTensor> tensors;
  std::string head;
  uint64_t file_bytes = 0;  // the last tensor is padded too
};
GgufLayout layout_gguf(std::vector<GgufTensor> tensors,
                       const std::vector<std::pair<std::string, GgufValue>>& metadata);

// Bytes of a tensor; Error if its innermost extent is no multiple of the type's block.
uint64_t gguf_bytes(const GgufType& type, const Shape& shape);

}  // namespace wanslim
