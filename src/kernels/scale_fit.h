// SPDX-License-Identifier: Apache-2.0
// Sums for fitting the scale of a run of integer codes. Same order of summation as round.h: 16 lanes of float
// in chunks of 1024, the chunks in double.
#pragma once
#include <span>

#include "kernels/round.h"

namespace wanslim {

// With code = clamp(rne(row[i] * (1 / scale))): the least-squares scale for these codes is row_code /
// code_code.
struct FitSums {
  double row_code = 0;   // sum of row[i] * code
  double code_code = 0;  // sum of code^2
};
FitSums fit_sums(std::span<const float> row, float scale, CodeRange range);

// One step of msModelSlim's SSZ in bf16 (spec 4.12), B = rounding to bf16, code = clamp(rne(B(row[i] /
// scale))): every term is rounded, the sums are not.
struct SszSums {
  double row_code = 0;   // sum of B(row[i] * code)
  double code_code = 0;  // sum of B(code^2)
  double error = 0;      // sum of B(d^2), d = B(B(code * scale) - row[i])
};
SszSums ssz_sums_bf16(std::span<const float> row, float scale, CodeRange range);

// errors[k] = sum of weights[i] * (row[i] / scales[k] - code)^2, as code_errors otherwise.
void weighted_code_errors(std::span<const float> row, std::span<const float> weights,
                          std::span<const float> scales, CodeRange range, std::span<double> errors);

}  // namespace wanslim
