// SPDX-License-Identifier: Apache-2.0
// Rounding rows of weights to int8 and int4 codes, and measuring what the rounding costs. Half rounds to
// even, quotients are true divisions, and every result has the same bits on every SIMD target: sums over a
// row run in 16 fixed lanes (element i in lane i % 16) of float within chunks of 1024, the chunks add up in
// double.
#pragma once
#include <cstdint>
#include <span>

namespace wanslim {

// Codes that a scheme may use, e.g. [-128, 127] or [-8, 7]; within [-128, 127].
struct CodeRange {
  int low = -128, high = 127;
};

// max |row[i]|; infinity if there is one, NaN if any element is NaN. 0 for an empty row.
float absmax(std::span<const float> row);

// codes[i] = clamp(rne(row[i] / scale)). `row` is finite, scale > 0.
void quantize_row(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes);

// As msModelSlim computes in bf16 (spec 4.3): codes[i] = clamp(rne(B(row[i] / scale))), B = rounding to bf16.
void quantize_row_bf16(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes);

// errors[k] = sum over i of (row[i] / scales[k] - code)^2: the squared error in units of scales[k]^2.
// Multiplies by the reciprocal, so `x / scale` is off by up to 2^-23 of itself: for choosing scales, not for
// reporting.
void code_errors(std::span<const float> row, std::span<const float> scales, CodeRange range,
                 std::span<double> errors);

// Sum over i of (a[i] - b[i])^2, the difference and its square in float.
double squared_error(std::span<const float> a, std::span<const float> b);

}  // namespace wanslim
