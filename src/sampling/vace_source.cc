// SPDX-License-Identifier: Apache-2.0
// Source video, mask and reference images at the model's size.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "config/wan_tasks.h"
#include "sampling/vace.h"

namespace wanslim {
namespace {

constexpr int64_t kPatch = 16;             // pixels of a token, per side
constexpr int64_t kMostLatentFrames = 21;  // of the listed sizes: seq_len = 21 * tokens of a frame

int64_t rounded(double x) {
  return static_cast<int64_t>(std::nearbyint(x));  // halves to even, as Python's round
}

void copy_plane(std::span<const float> src, std::span<float> dst) {
  std::copy(src.begin(), src.end(), dst.begin());
}

}  // namespace

SourcePlan plan_source(std::span<const double> times, double end, PlaneSize source, int64_t area) {
  CHECK(!times.empty() && area >= kPatch * kPatch);
  if (source.height < kPatch || source.width < kPatch) {
    throw Error(
        {.what = fmt::format("a source video of {} x {} pixels is too small, expected 16 x 16 or more",
                             source.width, source.height)});
  }
  const auto count = static_cast<int64_t>(times.size());
  // Tokens of a frame may be a fraction here, as in the official arithmetic.
  const double listed = static_cast<double>(area) / (kPatch * kPatch);
  const auto budget = static_cast<int64_t>(listed * kMostLatentFrames);
  const int64_t whole_tokens = (source.height / kPatch) * (source.width / kPatch);
  const auto own = static_cast<double>(whole_tokens);
  const double tokens = std::min({static_cast<double>(budget), listed, own});
  const int64_t latent_frames =
      std::min((count - 1) / kTimeStride + 1, static_cast<int64_t>(static_cast<double>(budget) / tokens));
  const int64_t whole_share = budget / latent_frames;
  const double most = std::min(tokens, static_cast<double>(whole_share));
  const double aspect = static_cast<double>(source.height) / static_cast<double>(source.width);
  SourcePlan plan;
  const int64_t rows = std::max<int64_t>(rounded(std::sqrt(most * aspect)), 1);
  const int64_t columns = static_cast<int64_t>(most / static_cast<double>(rows));
  if (columns < 1) {
    throw Error(
        {.what = fmt::format("a source video of {} x {} pixels is too narrow", source.width, source.height)});
  }
  plan.size = {.height = rows * kPatch, .width = columns * kPatch};

  // Evenly spaced moments from 0 to the middle of the last frame; each takes the first frame that shows then.
  // The official script keeps the frames' times in float32.
  const int64_t frames = (latent_frames - 1) * kTimeStride + 1;
  const auto start = [&](int64_t i) { return static_cast<float>(times[static_cast<size_t>(i)]); };
  const auto stop = [&](int64_t i) { return i + 1 < count ? start(i + 1) : static_cast<float>(end); };
  const double duration = (start(count - 1) + stop(count - 1)) / 2;
  const double stride = frames > 1 ? duration / static_cast<double>(frames - 1) : 0;
  for (int64_t k = 0; k < frames; ++k) {
    const double moment = k > 0 && k + 1 == frames ? duration : static_cast<double>(k) * stride;
    int64_t taken = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (moment >= start(i) && moment <= stop(i)) {
        taken = i;
        break;
      }
    }
    plan.frames.push_back(taken);
  }
  return plan;
}

Tensor source_values(std::span<const uint8_t> rgb, PlaneSize source, const SourcePlan& plan) {
  const auto frame_bytes = static_cast<size_t>(source.area()) * 3;
  const double scale = std::max(static_cast<double>(plan.size.width) / static_cast<double>(source.width),
                                static_cast<double>(plan.size.height) / static_cast<double>(source.height));
  const bool same = source == plan.size;
  const PlaneSize cover = same ? source
                               : PlaneSize{.height = rounded(scale * static_cast<double>(source.height)),
                                           .width = rounded(scale * static_cast<double>(source.width))};
  CHECK(cover.height >= plan.size.height && cover.width >= plan.size.width);
  const int64_t top = (cover.height - plan.size.height) / 2, left = (cover.width - plan.size.width) / 2;
  const auto count = static_cast<int64_t>(plan.frames.size());
  Tensor out(DType::kF32, {3, count, plan.size.height, plan.size.width});
  const std::span<float> values = out.as<float>();
  std::vector<uint8_t> resized(static_cast<size_t>(cover.area()) * 3);
  for (int64_t f = 0; f < count; ++f) {
    const auto taken = static_cast<size_t>(plan.frames[static_cast<size_t>(f)]);
    resize_rgb_antialiased(rgb.subspan(taken * frame_bytes, frame_bytes), source, resized, cover);
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t y = 0; y < plan.size.height; ++y) {
        for (int64_t x = 0; x < plan.size.width; ++x) {
          const auto from = static_cast<size_t>(((y + top) * cover.width + x + left) * 3 + c);
          const auto to = static_cast<size_t>(((c * count + f) * plan.size.height + y) * plan.size.width + x);
          values[to] = static_cast<float>(resized[from]) / 127.5f - 1;
        }
      }
    }
  }
  return out;
}

Tensor source_mask(const Tensor& values) {
  Tensor out(DType::kF32, {1, values.dim(1), values.dim(2), values.dim(3)});
  const std::span<float> mask = out.as<float>();
  for (size_t i = 0; i < mask.size(); ++i) mask[i] = std::clamp((values.as<float>()[i] + 1) / 2, 0.0f, 1.0f);
  return out;
}

Tensor empty_source(int64_t frames, PlaneSize size) {
  Tensor out(DType::kF32, {3, frames, size.height, size.width});
  std::fill(out.as<float>().begin(), out.as<float>().end(), 0.0f);
  return out;
}

Tensor full_mask(int64_t frames, PlaneSize size) {
  Tensor out(DType::kF32, {1, frames, size.height, size.width});
  std::fill(out.as<float>().begin(), out.as<float>().end(), 1.0f);
  return out;
}

Tensor fit_reference(const Tensor& image, PlaneSize canvas) {
  CHECK(image.shape().size() == 3 && image.dim(0) == 3);
  const PlaneSize from{.height = image.dim(1), .width = image.dim(2)};
  Tensor out(DType::kF32, {3, 1, canvas.height, canvas.width});
  if (from == canvas) {
    copy_plane(image.as<float>(), out.as<float>());
    return out;
  }
  const double scale = std::min(static_cast<double>(canvas.height) / static_cast<double>(from.height),
                                static_cast<double>(canvas.width) / static_cast<double>(from.width));
  const PlaneSize to{.height = static_cast<int64_t>(static_cast<double>(from.height) * scale),
                     .width = static_cast<int64_t>(static_cast<double>(from.width) * scale)};
  if (to.area() == 0) {
    throw Error(
        {.what = fmt::format("a reference image of {} x {} pixels is too narrow", from.width, from.height)});
  }
  std::vector<float> resized(static_cast<size_t>(to.area()) * 3);
  resize_planes(image.as<float>(), from, resized, to, ResizeFilter::kBilinear);
  std::fill(out.as<float>().begin(), out.as<float>().end(), 1.0f);
  const int64_t top = (canvas.height - to.height) / 2, left = (canvas.width - to.width) / 2;
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < to.height; ++y) {
      const auto src = static_cast<size_t>((c * to.height + y) * to.width);
      const auto dst = static_cast<size_t>((c * canvas.height + y + top) * canvas.width + left);
      copy_plane(std::span(resized).subspan(src, static_cast<size_t>(to.width)),
                 out.as<float>().subspan(dst));
    }
  }
  return out;
}

}  // namespace wanslim
