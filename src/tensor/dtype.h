// SPDX-License-Identifier: Apache-2.0
// Element types, one row each: name in safetensors files, size, kind.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace wanslim {

// The order is that of the safetensors crate's Dtype enum: its writer sorts tensors by this value, largest
// first.
enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as in safetensors: "F32", "BF16", "F8_E4M3", ...
  size_t bytes;
  bool is_float;
};

const DTypeInfo& info(DType dtype);
inline size_t size_of(DType dtype) {
  return info(dtype).bytes;
}
inline std::string_view name_of(DType dtype) {
  return info(dtype).name;
}
std::optional<DType> dtype_from_name(std::string_view safetensors_name);
std::span<const DTypeInfo> all_dtypes();

}  // namespace wanslim
