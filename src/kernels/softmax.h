// SPDX-License-Identifier: Apache-2.0
// Softmax over rows of scores that are held whole: for attention with a bias on short texts (umT5, spec A4).
#pragma once
#include <cstdint>

namespace wanslim {

// x[i, j] = softmax over j of x[i, j] + bias[i * bias_step + j], in place, rows dense [rows, width]. No bias:
// null. With `round` the sum x + bias and the result are rounded to the nearest bf16. Sums are float in an
// order fixed by width and the SIMD target; a row with NaN becomes NaN.
void softmax_rows(float* x, int64_t rows, int64_t width, const float* bias, int64_t bias_step, bool round);

}  // namespace wanslim
