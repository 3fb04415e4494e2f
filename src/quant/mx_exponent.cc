// SPDX-License-Identifier: Apache-2.0
#include "quant/mx_exponent.h"

#include <algorithm>
#include <cmath>

#include "base/portable_math.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

// Keeps log2 away from 0 in the reference.
constexpr float kTiny = 9.6e-7f;

float rounded(float value, Working working) {
  return working == Working::kBf16 ? round_bf16(value) : value;
}

// log2 with the same bits on every machine, exact for powers of two.
float log2_of(float value, Working working) {
  int exponent = 0;
  const double mantissa = 2 * std::frexp(static_cast<double>(value), &exponent);
  constexpr double kLn2 = 0.693147180559945309417;
  return rounded(static_cast<float>(exponent - 1 + portable_log(mantissa) / kLn2), working);
}

int clipped(float exponent) {
  return static_cast<int>(std::clamp(exponent, -129.0f, 125.0f));
}

float mxfp8_log2(float absmax, Working working) {
  return log2_of(absmax == 0 ? 0x1p-126f : absmax, working);
}

}  // namespace

int mxfp8_exponent(float absmax, Working working) {
  return std::max(static_cast<int>(std::floor(mxfp8_log2(absmax, working))) - 8, -127);
}

int mxfp8_exponent_ceil(float absmax, Working working) {
  return std::max(static_cast<int>(std::ceil(mxfp8_log2(absmax, working))) - 8, -127);
}

int mxfp4_exponent(float absmax, Working working) {
  const float widened = rounded(rounded(absmax / 0.875f, working) + kTiny, working);
  return clipped(std::floor(log2_of(widened, working)) - 2);
}

int mxfp4_exponent_ceil_x(float absmax, float c, Working working) {
  const float scaled = rounded(rounded(absmax / c, working) + kTiny, working);
  return clipped(std::ceil(log2_of(scaled, working)));
}

int mxfp4_exponent_top(float absmax, float top, Working working) {
  float scale = rounded(absmax / top, working);
  if (scale <= 0) scale = 1;
  const float log2 = log2_of(scale, working), whole = std::floor(log2);
  const float fraction = rounded(log2 - whole, working);
  if (std::fabs(fraction - 0.5f) <= 1e-6f)
    return static_cast<int>(whole) + (std::fmod(whole, 2.0f) == 0 ? 1 : 0);
  return static_cast<int>(std::floor(log2 + 0.5f));
}

}  // namespace wanslim
