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

// For each block of y = row[i] * factor: the exponent e for which sum (y - 2^e round(y / 2^e))^2 is least, of
// these, the first of equals:
//   e0 = floor(log2(absmax)) - floor(log2(format.max)), which just holds absmax or clips it
//   e0 + 1
//   e0 - 1, E2M1 only: its few steps can be worth more than the largest value
// none below `smallest`, which a block of zeros gets; factor * 2^-smallest is finite and smallest at least
// -127. errors[b] is that sum in units of 4^e. E4M3 has no use for it: with an empty `errors` only what
// matters is looked at. row.size() is 32 x exponents.size(). Same bits on every SIMD target, sums as in
// minifloat.h.
void mx_search(std::span<const float> row, float factor, MiniFloat format, int smallest,
               std::span<int> exponents, std::span<float> errors);

// mx_search of E2M1 in two steps, so that a caller can try several factors and refine one. `absmax` is that
// of the blocks of `row`, without the factor. mx_first gives e0 and its error, mx_refine takes these to the
// best.
void mx_first(std::span<const float> row, std::span<const float> absmax, float factor, int smallest,
              std::span<int> exponents, std::span<float> errors);
void mx_refine(std::span<const float> row, std::span<const float> absmax, float factor, int smallest,
               std::span<int> exponents, std::span<float> errors);

}  // namespace wanslim
