// SPDX-License-Identifier: Apache-2.0
// The Python names that a pickle of tensors may use: the whole list, everything else is refused.
#pragma once
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace wanslim {

struct PickleName {
  enum class Role : uint8_t {
    kOrderedDict,
    kSize,
    kTensorV2,
    kTensorV3,
    kParameter,
    kStorage,
    kUntypedStorage,
    kDType
  };
  std::string_view module, name;
  Role role = Role::kOrderedDict;
  DType dtype = DType::kU8;  // of kStorage and kDType
};

std::optional<size_t> find_pickle_name(std::string_view module, std::string_view name);
const PickleName& pickle_name(size_t row);

}  // namespace wanslim
