// SPDX-License-Identifier: Apache-2.0
// The power of two that the 32 values of a block share (OCP Microscaling Formats v1.0, 5.2), by least squared
// error.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/minifloat.h"

namespace wanslim {

inline constexpr size_t kMxBlock = 32;

// 2^e for e in [-127, 127].
inline float power_of_two(int e) {
  return std::bit_cast<float>(e == -127 ? 0x00400000u : static_cast<uint32_t>(e + 127) << 23);
}

// floor(log2(x)) of a normal x > 0; -127 of smaller ones.
inline int floor_log2(float x) {
  return static_cast<int>(std::bit_cast<uint32_t>(x) >> 23) - 127;
}

// Where the largest value of a block lies in units of 2^e0, e0 = floor(log2(absmax)) - log2_max: below
// `unsure` e0 is the better exponent, above it may be e0 + 1.
struct MxRule {
  int log2_max = 0;
  float max = 0, unsure = 0;
};
// E4M3 has no reason to look higher unless absmax would be clipped. E2M1's absmax lies in [4, 8): of blocks
// of 32 normal, Laplace, Student (4) and uniform values none was better with e0 + 1 below 6.75, and none with
// e0 - 1.
inline constexpr MxRule kMxE4M3{8, kE4M3.max, kE4M3.max}, kMxE2M1{2, kE2M1.max, 6.5f};

// For each block of y = row[i] * factor: of e0 and, where unsure, e0 + 1, the exponent e for which sum (y -
// 2^e round(y / 2^e))^2 is least, the first of equals; none below `smallest`, which a block of zeros gets.
// `absmax` is that of the blocks of `row`, without the factor. factor * 2^-smallest is finite and smallest at
// least -127. row.size() is 32 x exponents.size(). Same bits on every SIMD target, sums as in minifloat.h.
void mx_search(std::span<const float> row, std::span<const float> absmax, float factor, MiniFloat format,
               int smallest, std::span<int> exponents);

// What E2M1 would leave of y = row[i] * factor, to compare factors: the sum over the blocks of the squared
// errors of their first 16 values under e0, or e0 + 1 where absmax is 7 or more. Summed over all blocks
// before the lanes are folded.
inline constexpr size_t kMxProbe = 16;
float mx_probe(std::span<const float> row, std::span<const float> absmax, float factor, int smallest);

}  // namespace wanslim
