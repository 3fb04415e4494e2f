// SPDX-License-Identifier: Apache-2.0
// Weights as float vectors, checked on the way.
#pragma once
#include <string_view>
#include <vector>

#include "tensor/weight_source.h"

namespace wanslim {

// The tensor as float, from F32, BF16, F16 or F64. Error naming it if it is absent, has another shape, holds
// no floats, or holds a value that is not finite.
std::vector<float> load_floats(const WeightSource& weights, std::string_view name, const Shape& shape);

// The same for a tensor that is at hand; `name` is for messages. Values are not checked.
std::vector<float> to_floats(const Tensor& tensor, std::string_view name);

}  // namespace wanslim
