// SPDX-License-Identifier: Apache-2.0
// Pictures and videos in memory: 8-bit RGB, row-major [frames, height, width, 3]. A picture is one frame.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace wanslim {

struct Frames {
  int64_t count = 0, height = 0, width = 0;
  std::vector<uint8_t> rgb = {};
  double fps = 16;                 // average rate; of no meaning for a picture
  std::vector<double> times = {};  // seconds at which each frame starts, if it came from a file; else empty

  size_t frame_bytes() const { return static_cast<size_t>(height * width) * 3; }
  std::span<uint8_t> frame(int64_t i) {
    return std::span(rgb).subspan(static_cast<size_t>(i) * frame_bytes(), frame_bytes());
  }
  std::span<const uint8_t> frame(int64_t i) const {
    return std::span(rgb).subspan(static_cast<size_t>(i) * frame_bytes(), frame_bytes());
  }
};

// Black frames of this size.
Frames make_frames(int64_t count, int64_t height, int64_t width);

// What readers accept. Anything larger is refused before its memory is taken.
struct FrameLimits {
  int64_t max_side = 16384;
  int64_t max_frames = 8192;
  int64_t max_bytes = int64_t{4} << 30;  // of all RGB frames together
};

// Error, naming `where`, if frames of this size lie outside the limits.
void check_limits(const FrameLimits& limits, int64_t count, int64_t height, int64_t width,
                  std::string_view where);

// Values in [-1, 1] (others are clamped) of a model's video [3, frames, height, width] as pixels. Videos
// truncate, pictures round, as in the official cache_video and save_image (spec wan-forward A5, A9 item 6).
// NaN is an Error.
enum class PixelRounding : uint8_t { kTruncate, kNearest };
Frames frames_from_values(std::span<const float> values, int64_t count, int64_t height, int64_t width,
                          PixelRounding rounding);

// One frame as a decoder gives it, [height, width, 3], into pixels of the same order.
void pixels_from_values(std::span<const float> rgb, PixelRounding rounding, std::span<uint8_t> pixels);

// Back to [3, frames, height, width] floats in [-1, 1]: (pixel / 255 - 0.5) / 0.5 as torchvision's to_tensor.
Tensor values_from_frames(const Frames& frames);

}  // namespace wanslim
