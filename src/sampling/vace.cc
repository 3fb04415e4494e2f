// SPDX-License-Identifier: Apache-2.0
#include "sampling/vace.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "config/wan_tasks.h"
#include "sampling/condition.h"

namespace wanslim {
namespace {

// [C, n + T, ...]: n frames of `front` value 0 (or of `first`, if given) in front of the T frames of `t`.
Tensor with_frames_in_front(const Tensor& t, std::span<const Tensor> front, int64_t count) {
  Shape shape = t.shape();
  shape[1] += count;
  Tensor out(DType::kF32, shape);
  const auto plane = static_cast<size_t>(t.dim(2) * t.dim(3)), frames = static_cast<size_t>(t.dim(1));
  const auto n = static_cast<size_t>(count);
  auto to = out.as<float>().begin();
  for (size_t c = 0; c < static_cast<size_t>(t.dim(0)); ++c) {
    for (size_t i = 0; i < n; ++i) {
      // Channels that a reference lacks are zero.
      if (i < front.size() && c < static_cast<size_t>(front[i].dim(0))) {
        const auto src = front[i].as<float>().subspan(c * plane, plane);
        to = std::copy(src.begin(), src.end(), to);
      } else {
        to = std::fill_n(to, plane, 0.0f);
      }
    }
    const auto src = t.as<float>().subspan(c * frames * plane, frames * plane);
    to = std::copy(src.begin(), src.end(), to);
  }
  return out;
}

}  // namespace

SplitSource split_source(const Tensor& video, const Tensor& mask) {
  CHECK(video.dim(0) == 3 && mask.dim(0) == 1 && video.count() == 3 * mask.count());
  SplitSource out{.inactive = Tensor(DType::kF32, video.shape()),
                  .reactive = Tensor(DType::kF32, video.shape())};
  const size_t pixels = mask.as<float>().size();
  for (size_t i = 0; i < video.as<float>().size(); ++i) {
    const bool anew = mask.as<float>()[i % pixels] > 0.5f;
    out.inactive.as<float>()[i] = anew ? 0.0f : video.as<float>()[i];
    out.reactive.as<float>()[i] = anew ? video.as<float>()[i] : 0.0f;
  }
  return out;
}

Tensor fold_mask(const Tensor& mask, int64_t references) {
  CHECK(mask.shape().size() == 4 && references >= 0);
  const int64_t frames = mask.dim(1), height = mask.dim(2), width = mask.dim(3);
  if (height % 16 != 0 || width % 16 != 0) {
    throw Error({.what = fmt::format("a mask of {} x {} pixels, expected multiples of 16", width, height)});
  }
  const int64_t latent_frames = (frames + 3) / kTimeStride;
  const PlaneSize latent{.height = height / kSpaceStride, .width = width / kSpaceStride};
  Tensor out(DType::kF32, {kSpaceStride * kSpaceStride, latent_frames, latent.height, latent.width});
  const float scale = static_cast<float>(frames) / static_cast<float>(latent_frames);
  size_t at = 0;
  for (int64_t c = 0; c < kSpaceStride * kSpaceStride; ++c) {
    for (int64_t t = 0; t < latent_frames; ++t) {
      const auto picked = static_cast<int64_t>((static_cast<float>(t) + 0.5f) * scale);
      const int64_t frame = std::min(picked, frames - 1);
      for (int64_t y = 0; y < latent.height; ++y) {
        for (int64_t x = 0; x < latent.width; ++x) {
          const int64_t row = y * kSpaceStride + c / kSpaceStride,
                        column = x * kSpaceStride + c % kSpaceStride;
          out.as<float>()[at++] =
              mask.as<float>()[static_cast<size_t>((frame * height + row) * width + column)];
        }
      }
    }
  }
  return with_frames_in_front(out, {}, references);
}

Tensor vace_context(const Tensor& inactive, const Tensor& reactive, std::span<const Tensor> references,
                    const Tensor& folded_mask) {
  for (const Tensor& r : references) CHECK(r.dim(0) == inactive.dim(0) && r.dim(1) == 1);
  const Tensor latents = join_channels(inactive, reactive);
  return join_channels(with_frames_in_front(latents, references, static_cast<int64_t>(references.size())),
                       folded_mask);
}

Tensor drop_references(const Tensor& latent, int64_t references) {
  CHECK(references >= 0 && references < latent.dim(1));
  Shape shape = latent.shape();
  shape[1] -= references;
  Tensor out(DType::kF32, shape);
  const auto plane = static_cast<size_t>(latent.dim(2) * latent.dim(3));
  const auto frames = static_cast<size_t>(latent.dim(1)), kept = static_cast<size_t>(shape[1]);
  for (size_t c = 0; c < static_cast<size_t>(latent.dim(0)); ++c) {
    const auto src = latent.as<float>().subspan((c * frames + frames - kept) * plane, kept * plane);
    std::copy(src.begin(), src.end(), out.as<float>().begin() + static_cast<ptrdiff_t>(c * kept * plane));
  }
  return out;
}

}  // namespace wanslim
