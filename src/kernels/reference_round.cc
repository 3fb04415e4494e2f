// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/reference.h"
#include "tensor/half.h"

namespace wanslim::reference {
namespace {

int8_t code_of(float quotient, CodeRange range) {
  const float rounded = std::nearbyint(quotient);
  return static_cast<int8_t>(
      std::clamp(rounded, static_cast<float>(range.low), static_cast<float>(range.high)));
}

// The fixed order of sums: 16 lanes of float within chunks of 1024, chunks in double.
template <class Term>
double ordered_sum(size_t count, Term term) {
  double total = 0;
  for (size_t start = 0; start < count; start += 1024) {
    float lanes[16] = {};
    for (size_t i = start; i < std::min(count, start + 1024); ++i) lanes[i % 16] += term(i);
    double chunk = 0;
    for (float lane : lanes) chunk += static_cast<double>(lane);
    total += chunk;
  }
  return total;
}

}  // namespace

void widen_bf16(std::span<const uint16_t> src, std::span<float> dst) {
  std::transform(src.begin(), src.end(), dst.begin(), bf16_to_float);
}
void widen_f16(std::span<const uint16_t> src, std::span<float> dst) {
  std::transform(src.begin(), src.end(), dst.begin(), f16_to_float);
}
void narrow_bf16(std::span<const float> src, std::span<uint16_t> dst) {
  std::transform(src.begin(), src.end(), dst.begin(), float_to_bf16);
}
void round_bf16(std::span<const float> src, std::span<float> dst) {
  for (size_t i = 0; i < src.size(); ++i) dst[i] = wanslim::round_bf16(src[i]);
}

float absmax(std::span<const float> row) {
  float largest = 0;
  for (float x : row) {
    if (std::isnan(x)) return NAN;
    largest = std::max(largest, std::fabs(x));
  }
  return largest;
}

void quantize_row(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes) {
  for (size_t i = 0; i < row.size(); ++i) codes[i] = code_of(row[i] / scale, range);
}

void quantize_row_bf16(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes) {
  for (size_t i = 0; i < row.size(); ++i) codes[i] = code_of(wanslim::round_bf16(row[i] / scale), range);
}

void code_errors(std::span<const float> row, std::span<const float> scales, CodeRange range,
                 std::span<double> errors) {
  for (size_t k = 0; k < scales.size(); ++k) {
    const float inverse = 1.0f / scales[k];
    errors[k] = ordered_sum(row.size(), [&](size_t i) {
      const float y = row[i] * inverse, e = y - static_cast<float>(code_of(y, range));
      return e * e;
    });
  }
}

double squared_error(std::span<const float> a, std::span<const float> b) {
  return ordered_sum(a.size(), [&](size_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
}

FitSums fit_sums(std::span<const float> row, float scale, CodeRange range) {
  const float inverse = 1.0f / scale;
  const auto code = [&](size_t i) { return static_cast<float>(code_of(row[i] * inverse, range)); };
  return {ordered_sum(row.size(), [&](size_t i) { return row[i] * code(i); }),
          ordered_sum(row.size(), [&](size_t i) { return code(i) * code(i); })};
}

SszSums ssz_sums_bf16(std::span<const float> row, float scale, CodeRange range) {
  const auto bf16 = [](float x) { return wanslim::round_bf16(x); };
  const auto code = [&](size_t i) { return static_cast<float>(code_of(bf16(row[i] / scale), range)); };
  return {ordered_sum(row.size(), [&](size_t i) { return bf16(row[i] * code(i)); }),
          ordered_sum(row.size(), [&](size_t i) { return bf16(code(i) * code(i)); }),
          ordered_sum(row.size(), [&](size_t i) {
            const float e = bf16(bf16(code(i) * scale) - row[i]);
            return bf16(e * e);
          })};
}

void weighted_code_errors(std::span<const float> row, std::span<const float> weights,
                          std::span<const float> scales, CodeRange range, std::span<double> errors) {
  for (size_t k = 0; k < scales.size(); ++k) {
    const float inverse = 1.0f / scales[k];
    errors[k] = ordered_sum(row.size(), [&](size_t i) {
      const float y = row[i] * inverse, e = y - static_cast<float>(code_of(y, range));
      return weights[i] * (e * e);
    });
  }
}

}  // namespace wanslim::reference
