// SPDX-License-Identifier: Apache-2.0
// Integer weights, one scale a row or a group: the widest value decides (spec 4.2-4.4, and int_scale.h).
#pragma once
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// kInt8 or kInt4, kChannel or kGroup.
QuantizedLinear quantize_int_minmax(const LinearWeight& linear, const QuantScheme& scheme, Numerics numerics);

}  // namespace wanslim
