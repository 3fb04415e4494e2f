// SPDX-License-Identifier: Apache-2.0
#include "io/pickle_names.h"

#include "base/error.h"

namespace wanslim {
namespace {

using Role = PickleName::Role;

constexpr PickleName kNames[] = {
    {"collections", "OrderedDict", Role::kOrderedDict},
    {"torch", "Size", Role::kSize},
    {"torch._utils", "_rebuild_tensor_v2", Role::kTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", Role::kTensorV3},
    {"torch._utils", "_rebuild_parameter", Role::kParameter},
    {"torch.storage", "UntypedStorage", Role::kUntypedStorage, DType::kU8},
    {"torch", "FloatStorage", Role::kStorage, DType::kF32},
    {"torch", "HalfStorage", Role::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", Role::kStorage, DType::kBF16},
    {"torch", "DoubleStorage", Role::kStorage, DType::kF64},
    {"torch", "LongStorage", Role::kStorage, DType::kI64},
    {"torch", "IntStorage", Role::kStorage, DType::kI32},
    {"torch", "ShortStorage", Role::kStorage, DType::kI16},
    {"torch", "CharStorage", Role::kStorage, DType::kI8},
    {"torch", "ByteStorage", Role::kStorage, DType::kU8},
    {"torch", "BoolStorage", Role::kStorage, DType::kBool},
    {"torch", "float32", Role::kDType, DType::kF32},
    {"torch", "float16", Role::kDType, DType::kF16},
    {"torch", "bfloat16", Role::kDType, DType::kBF16},
    {"torch", "float64", Role::kDType, DType::kF64},
    {"torch", "float8_e4m3fn", Role::kDType, DType::kF8E4M3},
    {"torch", "float8_e5m2", Role::kDType, DType::kF8E5M2},
    {"torch", "int64", Role::kDType, DType::kI64},
    {"torch", "int32", Role::kDType, DType::kI32},
    {"torch", "int16", Role::kDType, DType::kI16},
    {"torch", "int8", Role::kDType, DType::kI8},
    {"torch", "uint8", Role::kDType, DType::kU8},
    {"torch", "uint16", Role::kDType, DType::kU16},
    {"torch", "uint32", Role::kDType, DType::kU32},
    {"torch", "uint64", Role::kDType, DType::kU64},
    {"torch", "bool", Role::kDType, DType::kBool},
};

}  // namespace

std::optional<size_t> find_pickle_name(std::string_view module, std::string_view name) {
  for (size_t row = 0; row < std::size(kNames); ++row) {
    if (kNames[row].module == module && kNames[row].name == name) return row;
  }
  return std::nullopt;
}

const PickleName& pickle_name(size_t row) {
  CHECK(row < std::size(kNames));
  return kNames[row];
}

}  // namespace wanslim
