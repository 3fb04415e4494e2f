// SPDX-License-Identifier: Apache-2.0
#include "quant/int_scale.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/scale_fit.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

// Reciprocals of scales must be finite in float.
constexpr float kSmallestScale = 0x1p-126f;

// The smallest bf16 value >= x; x > 0 and far below the bf16 maximum.
float bf16_above(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0xffffu) & 0xffff0000u);
}

float bf16_below(float bf16_value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(bf16_value) - 0x10000u);
}

}  // namespace

float reference_scale(float absmax, CodeRange range, Working working) {
  const float scale = absmax / static_cast<float>(range.high);
  return std::max(working == Working::kBf16 ? round_bf16(scale) : scale, kScaleFloor);
}

void reference_codes(std::span<const float> values, float scale, CodeRange range, Working working,
                     std::span<int8_t> codes) {
  if (working == Working::kBf16) {
    quantize_row_bf16(values, scale, range, codes);
  } else {
    quantize_row(values, scale, range, codes);
  }
}

float choose_scale(std::span<const float> values, float absmax, CodeRange range) {
  if (absmax == 0) return kScaleFloor;
  const float above = std::max(bf16_above(absmax / static_cast<float>(range.high)), kSmallestScale);
  const float rounded_max = std::min(round_bf16(absmax), 0x1.fep127f);
  float candidates[4] = {reference_scale(rounded_max, range, Working::kBf16), above,
                         std::max(bf16_below(above), kSmallestScale),
                         std::max(round_bf16(absmax / static_cast<float>(-range.low)), kSmallestScale)};
  size_t count = 1;
  for (size_t k = 1; k < 4; ++k) {
    if (std::find(candidates, candidates + count, candidates[k]) == candidates + count) {
      candidates[count++] = candidates[k];
    }
  }
  return best_scale(values, {candidates, count}, range);
}

float best_scale(std::span<const float> values, std::span<const float> scales, CodeRange range,
                 std::span<const float> weights) {
  std::vector<double> errors(scales.size());
  if (weights.empty()) {
    code_errors(values, scales, range, errors);
  } else {
    weighted_code_errors(values, weights, scales, range, errors);
  }
  for (size_t k = 0; k < scales.size(); ++k) {
    errors[k] *= static_cast<double>(scales[k]) * static_cast<double>(scales[k]);
  }
  // With y = x * (1 / s) off by at most 2^-16 code units, a sum e of n terms is off by less than
  // 2^-11 e + 2^-19 n (Cauchy-Schwarz, and 2^-18 e for the additions).
  const double unit = static_cast<double>(scales[0]) * static_cast<double>(scales[0]);
  double count = static_cast<double>(values.size());
  if (!weights.empty()) count = std::accumulate(weights.begin(), weights.end(), 0.0);
  size_t best = 0;
  double limit = errors[0] * (1 - 0x1p-10) - count * unit * 0x1p-18;
  for (size_t k = 1; k < scales.size(); ++k) {
    if (errors[k] < limit) {
      best = k;
      limit = errors[k];
    }
  }
  return scales[best];
}

}  // namespace wanslim
