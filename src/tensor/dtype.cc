// SPDX-License-Identifier: Apache-2.0
#include "tensor/dtype.h"

namespace wanslim {
namespace {

constexpr DTypeInfo kTable[] = {
    {DType::kBool, "BOOL", 1, false},     {DType::kU8, "U8", 1, false},
    {DType::kI8, "I8", 1, false},         {DType::kF8E5M2, "F8_E5M2", 1, true},
    {DType::kF8E4M3, "F8_E4M3", 1, true}, {DType::kI16, "I16", 2, false},
    {DType::kU16, "U16", 2, false},       {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},      {DType::kI32, "I32", 4, false},
    {DType::kU32, "U32", 4, false},       {DType::kF32, "F32", 4, true},
    {DType::kF64, "F64", 8, true},        {DType::kI64, "I64", 8, false},
    {DType::kU64, "U64", 8, false},
};

constexpr bool table_follows_the_enum() {
  for (size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<size_t>(kTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_follows_the_enum());

}  // namespace

const DTypeInfo& info(DType dtype) {
  return kTable[static_cast<size_t>(dtype)];
}

std::optional<DType> dtype_from_name(std::string_view safetensors_name) {
  for (const DTypeInfo& row : kTable) {
    if (row.name == safetensors_name) return row.dtype;
  }
  return std::nullopt;
}

std::span<const DTypeInfo> all_dtypes() {
  return kTable;
}

}  // namespace wanslim
