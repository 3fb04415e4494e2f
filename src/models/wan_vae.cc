// SPDX-License-Identifier: Apache-2.0
#include "models/wan_vae.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>

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

Frame cut(const Frame& frame, const VaeArea& area, FramePool& pool) {
  Frame out(pool, area.height, area.width, frame.channels());
  const auto row = static_cast<size_t>(area.width * frame.channels());
  for (int64_t y = 0; y < area.height; ++y) {
    const int64_t at = ((area.top + y) * frame.width() + area.left) * frame.channels();
    std::copy_n(frame.values().begin() + at, row, out.values().begin() + y * static_cast<int64_t>(row));
  }
  return out;
}

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
  trunk_ = std::move(build.stack);
  size_t local = trunk_.layers.size();  // from here on all layers are
  while (local > 0 && !std::holds_alternative<PixelAttention>(trunk_.layers[local - 1].body)) --local;
  while (local < trunk_.layers.size() && !std::holds_alternative<Upsample>(trunk_.layers[local].body))
    ++local;
  rise_ = trunk_.split(local);
  latent_channels_ = build.latent_channels;
  scale_ = build.scale;
  frame_scale_ = build.frame_scale;
}

int64_t VaeDecoder::frames(int64_t latent_frames) const {
  return 1 + frame_scale_ * (latent_frames - 1);
}

// Gives one frame for each of the latent's.
void VaeDecoder::run_trunk(const Tensor& latent, const VaeStack::Sink& each) {
  const int64_t frames = latent.dim(1), height = latent.dim(2), width = latent.dim(3);
  const int64_t pixels = height * width;
  for (int64_t t = 0; t < frames; ++t) {
    FrameList input;
    input.emplace_back(trunk_.pool(), height, width, latent_channels_);
    const std::span<float> values = input[0].values();
    planes_to_pixels(latent.as<float>().data() + t * pixels, frames * pixels, latent_channels_, pixels,
                     values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t c = i % kMean.size();
      values[i] = values[i] / (1.0f / kStd[c]) + kMean[c];  // the official order of roundings
    }
    trunk_.push(std::move(input), t + 1 == frames, each);
  }
}

void VaeDecoder::decode(const Tensor& latent, const Sink& sink, int64_t strips) {
  const Shape& shape = latent.shape();
  if (latent.dtype() != DType::kF32 || shape.size() != 4 || shape[0] != latent_channels_ ||
      latent.count() == 0) {
    throw Error({.what = fmt::format("the latent is {} {}, expected F32 [{}, frames, height, width]",
                                     name_of(latent.dtype()), to_string(shape), latent_channels_)});
  }
  const StreamEnd trunk_end(trunk_), rise_end(rise_);
  if (strips > 1) return decode_strips(latent, sink, strips);
  int64_t index = 0, taken = 0;
  run_trunk(latent, [&](Frame frame) {
    FrameList one;
    one.push_back(std::move(frame));
    rise_.push(std::move(one), ++taken == shape[1], [&](const Frame& out) {
      sink({.index = index++, .height = out.height(), .width = out.width(), .rgb = out.values()});
    });
  });
  CHECK(index == frames(shape[1]));
}

void VaeDecoder::decode_strips(const Tensor& latent, const Sink& sink, int64_t strips) {
  const int64_t height = latent.dim(2), width = latent.dim(3), length = std::max(height, width);
  if (strips > length) {
    throw Error({.what = fmt::format("{} strips of {} latent pixels", strips, length)});
  }
  FrameList waiting;
  run_trunk(latent, [&](Frame frame) { waiting.push_back(std::move(frame)); });
  trunk_.pool().clear();
  for (const VaeStrip& strip : vae_strips(length, strips, halo())) {
    const auto area = [&](int64_t begin, int64_t end) {
      return width >= height ? VaeArea{.left = begin, .height = height, .width = end - begin}
                             : VaeArea{.top = begin, .height = end - begin, .width = width};
    };
    rise_.reset();
    decode_area(waiting, area(strip.first, strip.last), area(strip.begin, strip.end), sink);
  }
}

void VaeDecoder::decode_area(const FrameList& frames, const VaeArea& from, const VaeArea& own,
                             const Sink& sink) {
  const VaeArea kept{.top = (own.top - from.top) * scale_,
                     .left = (own.left - from.left) * scale_,
                     .height = own.height * scale_,
                     .width = own.width * scale_};
  int64_t index = 0;
  for (size_t t = 0; t < frames.size(); ++t) {
    FrameList part;
    part.push_back(cut(frames[t], from, rise_.pool()));
    rise_.push(std::move(part), t + 1 == frames.size(), [&](const Frame& out) {
      const Frame inner = cut(out, kept, rise_.pool());
      sink({.index = index++,
            .top = own.top * scale_,
            .left = own.left * scale_,
            .height = inner.height(),
            .width = inner.width(),
            .rgb = inner.values()});
    });
  }
  CHECK(index == this->frames(static_cast<int64_t>(frames.size())));
}

Tensor VaeDecoder::decode(const Tensor& latent, int64_t strips) {
  Tensor video;
  const auto place = [&](const VideoFrame& part) {
    const int64_t frames = this->frames(latent.dim(1));
    const int64_t height = latent.dim(2) * scale_, width = latent.dim(3) * scale_, pixels = height * width;
    if (video.empty()) video = Tensor(DType::kF32, {3, frames, height, width});
    for (int64_t y = 0; y < part.height; ++y) {
      pixels_to_planes(
          part.rgb.subspan(static_cast<size_t>(y * part.width * 3), static_cast<size_t>(part.width * 3)), 3,
          video.as<float>().data() + part.index * pixels + (part.top + y) * width + part.left,
          frames * pixels);
    }
  };
  decode(latent, place, strips);
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
