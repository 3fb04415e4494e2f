// SPDX-License-Identifier: Apache-2.0
#include "io/frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/threads.h"

namespace wanslim {

Frames make_frames(int64_t count, int64_t height, int64_t width) {
  CHECK(count >= 0 && height > 0 && width > 0);
  Frames out{.count = count, .height = height, .width = width};
  out.rgb.resize(static_cast<size_t>(count) * out.frame_bytes());
  return out;
}

void check_limits(const FrameLimits& limits, int64_t count, int64_t height, int64_t width,
                  std::string_view where) {
  const auto refuse = [&](std::string what) {
    throw Error({.what = std::move(what), .where = std::string(where)});
  };
  if (height < 1 || width < 1 || height > limits.max_side || width > limits.max_side) {
    refuse(fmt::format("the picture has {} x {} pixels, expected 1 to {} a side", width, height,
                       limits.max_side));
  }
  if (count > limits.max_frames) {
    refuse(fmt::format("the video has more than {} frames", limits.max_frames));
  }
  if (count > limits.max_bytes / (height * width * 3)) {
    refuse(fmt::format("{} frames of {} x {} pixels need more than {} bytes", count, width, height,
                       limits.max_bytes));
  }
}

namespace {

float offset_of(PixelRounding rounding) {
  return rounding == PixelRounding::kNearest ? 0.5f : 0.0f;
}

uint8_t pixel(float value, float offset) {
  if (std::isnan(value)) throw Error({.what = "the video has a value that is not a number"});
  const float unit = (std::clamp(value, -1.0f, 1.0f) + 1) / 2;
  return static_cast<uint8_t>(std::min(unit * 255 + offset, 255.0f));
}

}  // namespace

void pixels_from_values(std::span<const float> rgb, PixelRounding rounding, std::span<uint8_t> pixels) {
  CHECK(rgb.size() == pixels.size());
  const float offset = offset_of(rounding);
  for (size_t i = 0; i < rgb.size(); ++i) pixels[i] = pixel(rgb[i], offset);
}

Frames frames_from_values(std::span<const float> values, int64_t count, int64_t height, int64_t width,
                          PixelRounding rounding) {
  Frames out = make_frames(count, height, width);
  CHECK(values.size() == out.rgb.size());
  const size_t plane = static_cast<size_t>(height * width), channel = plane * static_cast<size_t>(count);
  const float offset = offset_of(rounding);
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (size_t i = static_cast<size_t>(begin) * plane; i < static_cast<size_t>(end) * plane; ++i) {
      for (size_t c = 0; c < 3; ++c) out.rgb[i * 3 + c] = pixel(values[c * channel + i], offset);
    }
  });
  return out;
}

Tensor values_from_frames(const Frames& frames) {
  Tensor out(DType::kF32, {3, frames.count, frames.height, frames.width});
  const size_t pixels = frames.rgb.size() / 3;
  const std::span<float> values = out.as<float>();
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      values[c * pixels + i] = (static_cast<float>(frames.rgb[i * 3 + c]) / 255 - 0.5f) / 0.5f;
    }
  }
  return out;
}

}  // namespace wanslim
