// SPDX-License-Identifier: Apache-2.0
// Our clip search: for every row or group the bf16 scale with the smallest squared error, looked for from the
// one that clips nothing down to one that clips most of the range. Giving up the few widest values makes all
// others finer; the narrower the codes, the more it gains.
#pragma once
#include <span>

#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// kInt8 or kInt4; kChannel or kGroup. `energies`, empty or one >= 0 a column: the error of column i counts
// energies[i] times, mean(x_i^2) of the Linear's input makes it the error of the output. Never worse than
// minmax in that measure.
QuantizedLinear quantize_clip(const LinearWeight& linear, const QuantScheme& scheme,
                              std::span<const float> energies = {});

}  // namespace wanslim
