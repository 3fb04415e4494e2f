// SPDX-License-Identifier: Apache-2.0
// The E4M3 scale that the 16 values of an NVFP4 block share, by least squared error.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace wanslim {

inline constexpr size_t kNvfp4Block = 16;

// What a scale of each positive E4M3 code stands for, and 1 / (that * the tensor's own scale).
struct Nvfp4Scales {
  std::array<float, 128> value{}, inverse{};
};

// From the code that just holds absmax on 6 to one that has it on 4; two steps up gain nothing (0.002 dB
// of 1.3 on normal values).
inline constexpr std::array<int, 6> kNvfp4Steps{-1, 0, 1, 3, 4, 5};

// codes[b] = of first[b] + each step, clamped to [1, 126], the code with the least value^2 sum (y -
// round(y))^2 over block b, y = row[i] * inverse; the first of equals. first[b] is the code of absmax / 6 in
// units of the tensor's scale, row.size() is 16 x codes.size(). Same bits on every SIMD target, sums as in
// minifloat.h.
void nvfp4_search(std::span<const float> row, const Nvfp4Scales& scales, std::span<const uint8_t> first,
                  std::span<uint8_t> codes);

}  // namespace wanslim
