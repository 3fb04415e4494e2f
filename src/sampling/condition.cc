// SPDX-License-Identifier: Apache-2.0
#include "sampling/condition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "config/wan_tasks.h"

namespace wanslim {
namespace {

PlaneSize size_of_image(const Tensor& image) {
  CHECK(image.dtype() == DType::kF32 && image.shape().size() == 3 && image.dim(0) == 3);
  return {.height = image.dim(1), .width = image.dim(2)};
}

// Python's round: to the nearest whole number, halves to the even one.
int64_t round_half_even(double x) {
  const double low = std::floor(x), part = x - low;
  const auto whole = static_cast<int64_t>(low);
  if (part != 0.5) return whole + (part > 0.5 ? 1 : 0);
  return whole + whole % 2;
}

}  // namespace

PlaneSize condition_size(int64_t max_area, PlaneSize image) {
  CHECK(max_area > 0 && image.area() > 0);
  const double aspect = static_cast<double>(image.height) / static_cast<double>(image.width);
  const auto area = static_cast<double>(max_area);
  // The official floor divisions by 8, 2 and back, in this order.
  const auto side = [](double pixels) {
    return static_cast<int64_t>(std::floor(std::floor(pixels / static_cast<double>(kSpaceStride)) / 2)) * 2;
  };
  const PlaneSize out{.height = side(std::sqrt(area * aspect)), .width = side(std::sqrt(area / aspect))};
  if (std::min(out.height, out.width) < 2 || std::max(out.height, out.width) > 2 * kMaxPositions) {
    throw Error(
        {.what = fmt::format("an image of {} x {} pixels is too narrow for a video of {} pixels a frame",
                             image.width, image.height, max_area),
         .hint = "crop the image"});
  }
  return out;
}

Tensor condition_mask(int64_t frames, PlaneSize latent, bool last_too) {
  CHECK(frames >= 1 && frames % kTimeStride == 1);
  const int64_t latent_frames = (frames - 1) / kTimeStride + 1;
  Tensor out(DType::kF32, {kTimeStride, latent_frames, latent.height, latent.width});
  const std::span<float> mask = out.as<float>();
  for (int64_t c = 0; c < kTimeStride; ++c) {
    for (int64_t t = 0; t < latent_frames; ++t) {
      // Position 4 t + c of the sequence first, first, first, first, second, ...
      const int64_t frame = std::max<int64_t>(t * kTimeStride + c - (kTimeStride - 1), 0);
      const bool given = frame == 0 || (last_too && frame == frames - 1);
      const auto begin = mask.begin() + (c * latent_frames + t) * latent.area();
      std::fill(begin, begin + latent.area(), given ? 1.0f : 0.0f);
    }
  }
  return out;
}

Tensor condition_video(const Tensor& first, const Tensor* last, int64_t frames, PlaneSize pixels) {
  CHECK(frames >= (last != nullptr ? 2 : 1));
  Tensor out(DType::kF32, {3, frames, pixels.height, pixels.width});
  const std::span<float> video = out.as<float>();
  std::fill(video.begin(), video.end(), 0.0f);
  const auto place = [&](const Tensor& image, int64_t at) {
    Tensor resized(DType::kF32, {3, pixels.height, pixels.width});
    resize_planes(image.as<float>(), size_of_image(image), resized.as<float>(), pixels,
                  ResizeFilter::kBicubic);
    for (int64_t c = 0; c < 3; ++c) {
      const auto plane = resized.as<float>().subspan(static_cast<size_t>(c * pixels.area()),
                                                     static_cast<size_t>(pixels.area()));
      std::copy(plane.begin(), plane.end(), video.begin() + (c * frames + at) * pixels.area());
    }
  };
  place(first, 0);
  if (last != nullptr) place(*last, frames - 1);
  return out;
}

Tensor fit_last_frame(const Tensor& last, PlaneSize first) {
  const PlaneSize from = size_of_image(last);
  if (from == first) return last.clone();
  const double ratio = std::max(static_cast<double>(first.width) / static_cast<double>(from.width),
                                static_cast<double>(first.height) / static_cast<double>(from.height));
  // (width, height) is given where (height, width) is expected.
  const PlaneSize crop{.height = round_half_even(static_cast<double>(from.width) * ratio),
                       .width = round_half_even(static_cast<double>(from.height) * ratio)};
  // Where the output's element 0 lies in the input: before it with padding (the odd zero goes behind), inside
  // with cropping.
  const auto start = [](int64_t have, int64_t want) {
    return want > have ? -((want - have) / 2) : round_half_even(static_cast<double>(have - want) / 2);
  };
  const int64_t top = start(from.height, crop.height), left = start(from.width, crop.width);
  Tensor out(DType::kF32, {3, crop.height, crop.width});
  const std::span<const float> src = last.as<float>();
  const std::span<float> dst = out.as<float>();
  size_t at = 0;
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = top; y < top + crop.height; ++y) {
      for (int64_t x = left; x < left + crop.width; ++x) {
        const bool inside = y >= 0 && y < from.height && x >= 0 && x < from.width;
        dst[at++] = inside ? src[static_cast<size_t>((c * from.height + y) * from.width + x)] : 0.0f;
      }
    }
  }
  return out;
}

Tensor clip_pixels(const Tensor& image, int64_t side) {
  constexpr std::array<float, 3> kMean = {0.48145466f, 0.4578275f, 0.40821073f};
  constexpr std::array<float, 3> kDeviation = {0.26862954f, 0.26130258f, 0.27577711f};
  Tensor out(DType::kF32, {3, side, side});
  resize_planes(image.as<float>(), size_of_image(image), out.as<float>(), {side, side},
                ResizeFilter::kBicubic);
  const auto plane = static_cast<size_t>(side * side);
  for (size_t c = 0; c < 3; ++c) {
    for (float& x : out.as<float>().subspan(c * plane, plane))
      x = (x * 0.5f + 0.5f - kMean[c]) / kDeviation[c];
  }
  return out;
}

Tensor join_channels(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == DType::kF32 && b.dtype() == DType::kF32 && a.shape().size() == b.shape().size());
  CHECK(std::equal(a.shape().begin() + 1, a.shape().end(), b.shape().begin() + 1));
  Shape shape = a.shape();
  shape[0] += b.dim(0);
  Tensor out(DType::kF32, shape);
  const auto middle = std::copy(a.as<float>().begin(), a.as<float>().end(), out.as<float>().begin());
  std::copy(b.as<float>().begin(), b.as<float>().end(), middle);
  return out;
}

}  // namespace wanslim
