// SPDX-License-Identifier: Apache-2.0
// Resizing pictures as PyTorch's interpolate does with align_corners=False: the sample of output i lies at
// (i + 0.5) * from / to - 0.5. Plain loops in a fixed order: the same bits on every machine.
#pragma once
#include <cstdint>
#include <span>

namespace wanslim {

struct PlaneSize {
  int64_t height = 0, width = 0;
  int64_t area() const { return height * width; }
  bool operator==(const PlaneSize&) const = default;
};

enum class ResizeFilter : uint8_t {
  kBilinear,  // 2 taps
  kBicubic,   // 4 taps, Keys' kernel with a = -0.75; the result may leave the range of the input
};

// `src` and `dst` hold the same number of planes, row-major. No antialiasing; taps beyond the edge repeat it.
void resize_planes(std::span<const float> src, PlaneSize from, std::span<float> dst, PlaneSize to,
                   ResizeFilter filter);

// One picture of 8-bit RGB, [height, width, 3], bicubic with antialiasing (a = -0.5): interpolate of a uint8
// tensor with antialias=True, bit for bit (fixed-point weights of 16 bits, rows first, rounded to bytes in
// between).
void resize_rgb_antialiased(std::span<const uint8_t> src, PlaneSize from, std::span<uint8_t> dst,
                            PlaneSize to);

}  // namespace wanslim
