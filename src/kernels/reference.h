// SPDX-License-Identifier: Apache-2.0
// Plain-loop twins of the kernels: the definition that every SIMD target is tested against. Slow on purpose.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/round.h"
#include "kernels/scale_fit.h"

namespace wanslim::reference {

// convert.h
void widen_bf16(std::span<const uint16_t> src, std::span<float> dst);
void widen_f16(std::span<const uint16_t> src, std::span<float> dst);
void narrow_bf16(std::span<const float> src, std::span<uint16_t> dst);
void round_bf16(std::span<const float> src, std::span<float> dst);

// round.h
float absmax(std::span<const float> row);
void quantize_row(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes);
void quantize_row_bf16(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes);
void code_errors(std::span<const float> row, std::span<const float> scales, CodeRange range,
                 std::span<double> errors);
double squared_error(std::span<const float> a, std::span<const float> b);

// scale_fit.h
FitSums fit_sums(std::span<const float> row, float scale, CodeRange range);
SszSums ssz_sums_bf16(std::span<const float> row, float scale, CodeRange range);
void weighted_code_errors(std::span<const float> row, std::span<const float> weights,
                          std::span<const float> scales, CodeRange range, std::span<double> errors);

}  // namespace wanslim::reference
