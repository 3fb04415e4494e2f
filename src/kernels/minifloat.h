// SPDX-License-Identifier: Apache-2.0
// Rows of weights as short floats (FP8 E4M3, FP4 E2M1) with one scale a block of consecutive values. The bits
// are the same on every SIMD target: sums of a block run in 16 lanes (value i in lane i % 16) that are folded
// in halves: lane k += lane k + 8, then + 4, + 2, + 1.
#pragma once
#include <cstdint>
#include <span>

namespace wanslim {

// Sign, exponent and mantissa, no infinities. Values below 2^min_exponent are subnormal.
struct MiniFloat {
  int mantissa_bits = 0, min_exponent = 0;
  float max = 0;
};
inline constexpr MiniFloat kE4M3{3, -6, 448}, kE2M1{1, 0, 6};

// What becomes of y = x / scale on its way to a code.
enum class MiniRule : uint8_t {
  kEven,         // nearest, half to even
  kEvenInverse,  // the same of y = x * scale: `scales` holds their inverses
  kEvenBf16,     // first rounded to bf16, then nearest, half to even
  kAway,  // msModelSlim's MX (spec 4.10): magnitude floor(m + 1/2) in units of the last place; -0 becomes 0
};

// absmax[b] = max |row[i]| of block b, NaN if the block has one. row.size() is a multiple of `block`; `block`
// is a multiple of 16.
void block_absmax(std::span<const float> row, size_t block, std::span<float> absmax);

// codes[i] = code of clamp(row[i] / scales[i / block], -max, max), one byte each, the sign above exponent and
// mantissa. `block` is a multiple of 16, or row.size() (one scale).
void minifloat_codes(std::span<const float> row, size_t block, MiniFloat format, MiniRule rule,
                     std::span<const float> scales, std::span<uint8_t> codes);

// errors[b] = sum over block b of (y - round(y))^2 for y = row[i] * inverse[b]: the squared error in units of
// scale^2.
void minifloat_errors(std::span<const float> row, size_t block, MiniFloat format,
                      std::span<const float> inverse, std::span<float> errors);

// The error as msModelSlim sees it in bf16: sum of B(B(round(row[i] / scale) * scale - row[i])^2), rule
// kAway.
void minifloat_errors_bf16(std::span<const float> row, size_t block, MiniFloat format,
                           std::span<const float> scales, std::span<float> errors);

// E2M1 codes of clamp(row[i] * inverse[i / block], -6, 6), nearest, half to even, two a byte as pack_nibbles
// has them; what rounds to zero is 0, never -0. `block` is 16 or 32.
void minifloat_nibbles(std::span<const float> row, size_t block, std::span<const float> inverse,
                       std::span<uint8_t> packed);

// packed[i] = codes[2 i] & 15 | codes[2 i + 1] << 4. `codes` starts at an even address.
void pack_nibbles(std::span<const uint8_t> codes, std::span<uint8_t> packed);

}  // namespace wanslim
