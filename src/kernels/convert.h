// SPDX-License-Identifier: Apache-2.0
// Conversions between spans of float and of the short float types, round to nearest even, NaN stays NaN.
// Equal to the scalars of tensor/half.h bit for bit on every SIMD target. Spans of one call have equal size.
#pragma once
#include <cstdint>
#include <span>

namespace wanslim {

void widen_bf16(std::span<const uint16_t> src, std::span<float> dst);
void widen_f16(std::span<const uint16_t> src, std::span<float> dst);
void narrow_bf16(std::span<const float> src, std::span<uint16_t> dst);

// dst = nearest bf16 value of src, as float; src may be dst.
void round_bf16(std::span<const float> src, std::span<float> dst);

}  // namespace wanslim
