// SPDX-License-Identifier: Apache-2.0
// Tensors that stay float, in the dtype that a format stores.
#pragma once
#include <string>

#include "tensor/tensor.h"

namespace wanslim {

// `stored` (F32, BF16 or F16) rounded to nearest `dtype` (F32, F16 or BF16). Error naming tensor, element and
// value for NaN, infinity, and what does not fit the dtype.
// `first_row`: where in the tensor of that name `stored` begins, for the message.
Tensor float_tensor(const Tensor& stored, DType dtype, const std::string& name, int64_t first_row = 0);

}  // namespace wanslim
