// SPDX-License-Identifier: Apache-2.0
#include "models/wan_vae.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "models/vae_build.h"

namespace wanslim {
namespace {

// Of each latent channel: scaled = (latent - mean) / std. From wan/modules/vae.py.
constexpr std::array<float, 16> kMean = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                         -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                         -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
constexpr std::array<float, 16> kStd = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                        2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                        1.6382f, 1.1253f, 2.8251f, 1.9160f};

void check_latent_channels(int64_t channels) {
  if (channels == static_cast<int64_t>(kMean.size())) return;
  throw Error({.what = fmt::format("the VAE has {} latent channels, expected {}", channels, kMean.size()),
               .hint = "only the VAE of Wan2.1 is known"});
}

// Forgets the stream when the work ends, also by an error.
class StreamEnd {
 public:
  explicit StreamEnd(VaeStack& stack) : stack_(stack) { stack_.reset(); }
  ~StreamEnd() { stack_.reset(); }
  StreamEnd(const StreamEnd&) = delete;
  StreamEnd& operator=(const StreamEnd&) = delete;

 private:
  VaeStack& stack_;
};

// src [outer][inner] to dst [inner][outer], from and to any stride of the outer index.
void planes_to_pixels(const float* planes, int64_t plane_stride, int64_t channels, int64_t pixels,
                      float* out) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < pixels; ++i) out[i * channels + c] = planes[c * plane_stride + i];
  }
}
void pixels_to_planes(std::span<const float> values, int64_t channels, float* planes, int64_t plane_stride) {
  const int64_t pixels = static_cast<int64_t>(values.size()) / channels;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < pixels; ++i)
      planes[c * plane_stride + i] = values[static_cast<size_t>(i * channels + c)];
  }
}

}  // namespace

VaeDecoder::VaeDecoder(const WeightSource& weights, const VaeOptions& options) {
  VaeBuild build = build_vae_decoder(weights, options.bf16);
  check_latent_channels(build.latent_channels);
  stack_ = std::move(build.stack);
  latent_channels_ = build.latent_channels;
  scale_ = build.scale;
  frame_scale_ = build.frame_scale;
}

int64_t VaeDecoder::frames(int64_t latent_frames) const {
  return 1 + frame_scale_ * (latent_frames - 1);
}

void VaeDecoder::decode(const Tensor& latent, const Sink& sink) {
  const Shape& shape = latent.shape();
  if (latent.dtype() != DType::kF32 || shape.size() != 4 || shape[0] != latent_channels_ ||
      latent.count() == 0) {
    throw Error({.what = fmt::format("the latent is {} {}, expected F32 [{}, frames, height, width]",
                                     name_of(latent.dtype()), to_string(shape), latent_channels_)});
  }
  const int64_t frames = shape[1], height = shape[2], width = shape[3], pixels = height * width;
  const StreamEnd end(stack_);
  int64_t index = 0;
  for (int64_t t = 0; t < frames; ++t) {
    FrameList input;
    input.emplace_back(stack_.pool(), height, width, latent_channels_);
    const std::span<float> values = input[0].values();
    planes_to_pixels(latent.as<float>().data() + t * pixels, frames * pixels, latent_channels_, pixels,
                     values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t c = i % kMean.size();
      values[i] = values[i] / (1.0f / kStd[c]) + kMean[c];  // the official order of roundings
    }
    stack_.push(std::move(input), t + 1 == frames, [&](const Frame& frame) {
      sink({.index = index++, .height = frame.height(), .width = frame.width(), .rgb = frame.values()});
    });
  }
  CHECK(index == this->frames(frames));
}

Tensor VaeDecoder::decode(const Tensor& latent) {
  Tensor video;
  decode(latent, [&](const VideoFrame& frame) {
    const int64_t frames = this->frames(latent.dim(1)), pixels = frame.height * frame.width;
    if (video.empty()) video = Tensor(DType::kF32, {3, frames, frame.height, frame.width});
    pixels_to_planes(frame.rgb, 3, video.as<float>().data() + frame.index * pixels, frames * pixels);
  });
  return video;
}

VaeEncoder::VaeEncoder(const WeightSource& weights, const VaeOptions& options) {
  VaeBuild build = build_vae_encoder(weights, options.bf16);
  check_latent_channels(build.latent_channels);
  stack_ = std::move(build.stack);
  latent_channels_ = build.latent_channels;
  scale_ = build.scale;
  frame_scale_ = build.frame_scale;
}

Tensor VaeEncoder::encode(int64_t frames, int64_t height, int64_t width, const Source& read) {
  if (frames < 1 || (frames - 1) % frame_scale_ != 0) {
    throw Error({.what = fmt::format("the video has {} frames, expected {} n + 1", frames, frame_scale_)});
  }
  if (height < scale_ || width < scale_ || height % scale_ != 0 || width % scale_ != 0) {
    throw Error({.what = fmt::format("the video is {} x {} pixels, expected multiples of {}", width, height,
                                     scale_)});
  }
  const int64_t latent_frames = 1 + (frames - 1) / frame_scale_, pixels = height / scale_ * (width / scale_);
  Tensor latent(DType::kF32, {latent_channels_, latent_frames, height / scale_, width / scale_});
  const StreamEnd end(stack_);
  int64_t index = 0;
  const auto sink = [&](Frame frame) {
    const std::span<float> values = frame.values();
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t c = i % kMean.size();
      values[i] = (values[i] - kMean[c]) * (1.0f / kStd[c]);
    }
    pixels_to_planes(values, latent_channels_, latent.as<float>().data() + index++ * pixels,
                     latent_frames * pixels);
  };
  for (int64_t t = 0; t < frames;) {
    FrameList chunk;
    for (const int64_t stop = t == 0 ? 1 : t + frame_scale_; t < stop; ++t) {
      chunk.emplace_back(stack_.pool(), height, width, 3);
      read(t, chunk.back().values());
    }
    stack_.push(std::move(chunk), t == frames, sink);
  }
  CHECK(index == latent_frames);
  return latent;
}

Tensor VaeEncoder::encode(const Tensor& video) {
  const Shape& shape = video.shape();
  if (video.dtype() != DType::kF32 || shape.size() != 4 || shape[0] != 3) {
    throw Error({.what = fmt::format("the video is {} {}, expected F32 [3, frames, height, width]",
                                     name_of(video.dtype()), to_string(shape))});
  }
  const int64_t pixels = shape[2] * shape[3];
  return encode(shape[1], shape[2], shape[3], [&](int64_t index, std::span<float> rgb) {
    planes_to_pixels(video.as<float>().data() + index * pixels, shape[1] * pixels, 3, pixels, rgb.data());
  });
}

}  // namespace wanslim
