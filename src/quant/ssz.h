// SPDX-License-Identifier: Apache-2.0
// SSZ of msModelSlim 26.1 (spec 4.12): from the minmax scale, codes and least-squares scale in turn, s' =
// sum(w q) / sum(q q), and the scale with the smallest error on the way.
//   compat   its steps in its bf16 arithmetic. Its choice among scales of equal bf16 error hangs on the order
//   of
//            its sums, which is not known: here the one with the smallest exact error is taken. Not bit-equal
//            therefore, but no row has a larger error than there.
//   precise  the same iteration in float and double from two starts, the result rounded to the best bf16
//   neighbour;
//            never worse than minmax.
#pragma once
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// kInt8 or kInt4; kChannel, in precise also kGroup. At most options.step iterations.
QuantizedLinear quantize_ssz(const LinearWeight& linear, const QuantScheme& scheme,
                             const MethodOptions& options, Numerics numerics);

}  // namespace wanslim
