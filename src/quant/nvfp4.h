// SPDX-License-Identifier: Apache-2.0
// NVFP4 weights: E2M1 elements, an E4M3 scale for 16 inputs, one float for the tensor.
//   value = code * block scale * global;  global is a power of two >= absmax / 2688 (2688 = 6 * 448), so that
//   its reciprocal, which LightX2V stores as weight_global_scale, is exact too.
// The block scale is the one with the smallest squared error among those that put absmax between 3.5 and 7.
#pragma once
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// kNvFp4, kBlock; precise alone: msModelSlim has no such scheme. `in` is a multiple of 16.
QuantizedLinear quantize_nvfp4(const LinearWeight& linear, const QuantScheme& scheme);

}  // namespace wanslim
