// SPDX-License-Identifier: Apache-2.0
// FP8 E4M3 weights with a float scale a row or for the tensor (spec 4.9).
//   compat   s = T(max(absmax, 1e-12) / 448), code of clamp(T(w / s), -448, 448), T = bf16
//   precise  s is a bf16 value: the best of the reference's, the two neighbours of absmax / 448 and half of
//   it in
//            steps (where the mantissa falls decides the error); codes are the nearest against it
#pragma once
#include "quant/int_scale.h"
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

float reference_fp8_scale(float absmax, Working working);

// kFp8E4M3; kChannel or kTensor.
QuantizedLinear quantize_fp8(const LinearWeight& linear, const QuantScheme& scheme, Numerics numerics);

}  // namespace wanslim
