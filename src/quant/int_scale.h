// SPDX-License-Identifier: Apache-2.0
// The scale of a run of integer codes (a row, a group), and the codes against it.
//   reference  spec 4.2-4.4: s = max(T(T(absmax) / (2^(bits-1) - 1)), 2^-23), T the working dtype
//   precise    the best of a few bf16 values near that, see choose_scale
#pragma once
#include <span>

#include "kernels/round.h"

namespace wanslim {

inline constexpr CodeRange kInt8Range{-128, 127}, kInt4Range{-8, 7};

// Smallest scale of the reference, and the scale of an all-zero row: 2^-23.
inline constexpr float kScaleFloor = 0x1p-23f;

// The working dtype of the reference's arithmetic: bf16 for Wan2.1 as it runs it; f32 for a pipeline that
// loads f32.
enum class Working : uint8_t { kBf16, kF32 };

// `absmax` is of values already in the working dtype.
float reference_scale(float absmax, CodeRange range, Working working);
void reference_codes(std::span<const float> values, float scale, CodeRange range, Working working,
                     std::span<int8_t> codes);

// The bf16 value with the smallest squared error on `values` among: the reference's scale, the two bf16
// neighbours from absmax / high upwards (no clipping), and absmax / -low rounded to nearest (all codes used).
// Another than the reference's is taken only when it is better by more than the sums can be off, so precise
// codes never lose against compat's on any run. Always positive; 2^-23 for all zeros.
float choose_scale(std::span<const float> values, float absmax, CodeRange range);

// The scale with the smallest squared error on `values`; `weights`, empty or one a value, say what each error
// counts. scales[0] is kept unless another is better by more than the sums can be off.
float best_scale(std::span<const float> values, std::span<const float> scales, CodeRange range,
                 std::span<const float> weights = {});

}  // namespace wanslim
