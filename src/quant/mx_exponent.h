// SPDX-License-Identifier: Apache-2.0
// Block exponents as msModelSlim 26.1 computes them (spec 4.10, 4.11), from the largest magnitude of a block.
// The arithmetic is that of the working dtype; log2 is taken exactly and rounded to it.
#pragma once
#include "kernels/mx_search.h"
#include "quant/int_scale.h"

namespace wanslim {

int mxfp8_exponent(float absmax, Working working);       // floor
int mxfp8_exponent_ceil(float absmax, Working working);  // the other candidate of mse_round
int mxfp4_exponent(float absmax, Working working);       // minmax
int mxfp4_exponent_ceil_x(float absmax, float c, Working working);
// fouroversix: absmax on `top`, 6 or 4. 0 for a block of zeros.
int mxfp4_exponent_top(float absmax, float top, Working working);

// 2^exponent as float. Below -127 the reference makes every element 0: 2^127 there, which does the same to
// such small values.
inline float mx_scale(int exponent) {
  return power_of_two(exponent < -127 ? 127 : exponent);
}

}  // namespace wanslim
