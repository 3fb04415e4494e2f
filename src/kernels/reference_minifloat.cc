// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference_minifloat.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/half.h"

namespace wanslim::reference {
namespace {

// The value of a code without its sign.
float value_of(int code, MiniFloat format) {
  const int steps = 1 << format.mantissa_bits, exponent = code / steps, mantissa = code % steps;
  const float fraction = static_cast<float>(mantissa) / static_cast<float>(steps);
  return exponent == 0 ? std::ldexp(fraction, format.min_exponent)
                       : std::ldexp(1 + fraction, exponent - 1 + format.min_exponent);
}

// Every value of the format up to its largest, by code.
const std::vector<float>& values_of(MiniFloat format) {
  auto all = [](MiniFloat f) {
    std::vector<float> values;
    while (values.empty() || values.back() < f.max) {
      values.push_back(value_of(static_cast<int>(values.size()), f));
    }
    return values;
  };
  static const std::vector<float> e4m3 = all(kE4M3), e2m1 = all(kE2M1);
  return format.mantissa_bits == 3 ? e4m3 : e2m1;
}

// The nearest code, by looking at all of them; of two, the even one.
int nearest_code(float magnitude, MiniFloat format) {
  const std::vector<float>& values = values_of(format);
  int best = 0;
  for (int code = 1; code < static_cast<int>(values.size()); ++code) {
    const double to_best =
        std::fabs(static_cast<double>(magnitude) - static_cast<double>(values[static_cast<size_t>(best)]));
    const double to_this =
        std::fabs(static_cast<double>(magnitude) - static_cast<double>(values[static_cast<size_t>(code)]));
    if (to_this < to_best || (to_this == to_best && code % 2 == 0)) best = code;
  }
  return best;
}

// Spec 4.10 and 4.11, term by term in float.
int away_code(float magnitude, MiniFloat format) {
  magnitude = std::min(magnitude, format.max);
  const int p = magnitude == 0 ? format.min_exponent : std::max(std::ilogb(magnitude), format.min_exponent);
  const float steps = static_cast<float>(1 << format.mantissa_bits);
  const float value = std::ldexp(std::floor(std::ldexp(magnitude, -p) * steps + 0.5f) / steps, p);
  return nearest_code(std::min(value, format.max), format);
}

float folded(const float* lanes) {
  float work[16];
  std::copy(lanes, lanes + 16, work);
  for (int half = 8; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) work[k] += work[k + half];
  }
  return work[0];
}

template <class Term>
void block_sums(size_t block, std::span<float> sums, Term term) {
  for (size_t b = 0; b < sums.size(); ++b) {
    float lanes[16] = {};
    for (size_t i = 0; i < block; ++i) lanes[i % 16] += term(b * block + i, b);
    sums[b] = folded(lanes);
  }
}

}  // namespace

void block_absmax(std::span<const float> row, size_t block, std::span<float> absmax) {
  for (size_t b = 0; b < absmax.size(); ++b) {
    absmax[b] = 0;
    for (float x : row.subspan(b * block, block)) {
      if (std::isnan(x) || std::fabs(x) > absmax[b]) absmax[b] = std::fabs(x);
    }
  }
}

void minifloat_codes(std::span<const float> row, size_t block, MiniFloat format, MiniRule rule,
                     std::span<const float> scales, std::span<uint8_t> codes) {
  const int sign_bit = format.mantissa_bits == 3 ? 128 : 8;
  for (size_t i = 0; i < row.size(); ++i) {
    const float scale = scales[i / block];
    float y = rule == MiniRule::kEvenInverse ? row[i] * scale : row[i] / scale;
    if (rule == MiniRule::kEvenBf16) y = wanslim::round_bf16(y);
    const bool negative = rule == MiniRule::kAway ? y < 0 : std::signbit(y);
    const int code =
        rule == MiniRule::kAway ? away_code(std::fabs(y), format) : nearest_code(std::fabs(y), format);
    codes[i] = static_cast<uint8_t>(code | (negative ? sign_bit : 0));
  }
}

void minifloat_errors(std::span<const float> row, size_t block, MiniFloat format,
                      std::span<const float> inverse, std::span<float> errors) {
  block_sums(block, errors, [&](size_t i, size_t b) {
    const float y = std::fabs(row[i] * inverse[b]), e = y - value_of(nearest_code(y, format), format);
    return e * e;
  });
}

void minifloat_errors_bf16(std::span<const float> row, size_t block, MiniFloat format,
                           std::span<const float> scales, std::span<float> errors) {
  block_sums(block, errors, [&](size_t i, size_t b) {
    const float x = std::fabs(row[i]);
    const float value = value_of(away_code(x / scales[b], format), format) * scales[b];
    const float e = wanslim::round_bf16(value - x);
    return wanslim::round_bf16(e * e);
  });
}

namespace {

int first_exponent(float absmax, int log2_max, int smallest) {
  const int log2 = absmax < 0x1p-126f ? -127 : std::ilogb(absmax);
  return std::max(log2 - log2_max, smallest);
}

float block_error(std::span<const float> block, MiniFloat format, float inverse) {
  float error = 0;
  reference::minifloat_errors(block, block.size(), format, {&inverse, 1}, {&error, 1});
  return error;
}

}  // namespace

void mx_search(std::span<const float> row, std::span<const float> absmax, float factor, MiniFloat format,
               int smallest, std::span<int> exponents) {
  const MxRule rule = format.mantissa_bits == 3 ? kMxE4M3 : kMxE2M1;
  for (size_t b = 0; b < exponents.size(); ++b) {
    const std::span<const float> block = row.subspan(b * kMxBlock, kMxBlock);
    const int first = first_exponent(absmax[b] * factor, rule.log2_max, smallest);
    exponents[b] = first;
    if (std::ldexp(absmax[b] * factor, -first) <= rule.unsure) continue;
    const float here = block_error(block, format, std::ldexp(factor, -first));
    const float above = block_error(block, format, std::ldexp(factor, -first - 1));
    if (std::ldexp(above, 2) < here) exponents[b] = first + 1;
  }
}

float mx_probe(std::span<const float> row, std::span<const float> absmax, float factor, int smallest) {
  float lanes[16] = {};
  for (size_t b = 0; b < absmax.size(); ++b) {
    const int exponent = first_exponent(absmax[b] * factor * (8.0f / 7), kMxE2M1.log2_max, smallest);
    for (size_t i = 0; i < kMxProbe; ++i) {
      const float y = std::fabs(row[b * kMxBlock + i] * factor);
      const float rounded = value_of(nearest_code(std::ldexp(y, -exponent), kE2M1), kE2M1);
      const float e = y - std::ldexp(rounded, exponent);
      lanes[i % 16] += e * e;
    }
  }
  return folded(lanes);
}

void nvfp4_search(std::span<const float> row, const Nvfp4Scales& scales, std::span<const uint8_t> first,
                  std::span<uint8_t> codes) {
  for (size_t b = 0; b < codes.size(); ++b) {
    float best = INFINITY;
    for (int step : kNvfp4Steps) {
      const auto code = static_cast<uint8_t>(std::clamp(first[b] + step, 1, 126));
      float error = 0;
      reference::minifloat_errors(row.subspan(b * kNvfp4Block, kNvfp4Block), kNvfp4Block, kE2M1,
                                  {&scales.inverse[code], 1}, {&error, 1});
      error = error * scales.value[code] * scales.value[code];
      if (step > -1 && !(error < best)) continue;
      best = error;
      codes[b] = code;
    }
  }
}

void minifloat_nibbles(std::span<const float> row, size_t block, std::span<const float> inverse,
                       std::span<uint8_t> packed) {
  std::vector<uint8_t> codes(row.size());
  reference::minifloat_codes(row, block, kE2M1, MiniRule::kEvenInverse, inverse, codes);
  for (uint8_t& code : codes) code = code == 8 ? 0 : code;
  reference::pack_nibbles(codes, packed);
}

void pack_nibbles(std::span<const uint8_t> codes, std::span<uint8_t> packed) {
  for (size_t i = 0; i < packed.size(); ++i) {
    packed[i] = static_cast<uint8_t>((codes[2 * i] & 15) | codes[2 * i + 1] << 4);
  }
}

}  // namespace wanslim::reference
