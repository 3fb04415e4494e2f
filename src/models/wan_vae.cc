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

template <class Body>
bool has(const VaeStack& stack) {
  return std::ranges::any_of(stack.layers,
                             [](const VaeLayer& layer) { return std::holds_alternative<Body>(layer.body); });
}

std::vector<VaeStrip> strips_across(int64_t height, int64_t width, int64_t count, int64_t halo) {
  const int64_t length = std::max(height, width);
  if (count > length) throw Error({.what = fmt::format("{} strips of {} latent pixels", count, length)});
  return vae_strips(length, count, halo);
}

VaeArea strip_area(int64_t height, int64_t width, int64_t begin, int64_t end) {
  if (width >= height) return {.left = begin, .height = height, .width = end - begin};
  return {.top = begin, .height = end - begin, .width = width};
}

VaeArea scaled(const VaeArea& area, int64_t scale) {
  return {area.top * scale, area.left * scale, area.height * scale, area.width * scale};
}

// The pixels `area` of one to `to` of the other, which is as large.
void paste(const Frame& from, const VaeArea& area, Frame& onto, const VaeArea& to) {
  const int64_t channels = from.channels();
  for (int64_t y = 0; y < area.height; ++y) {
    const auto row = from.values().begin() + ((area.top + y) * from.width() + area.left) * channels;
    std::copy_n(row, area.width * channels,
                onto.values().begin() + ((to.top + y) * onto.width() + to.left) * channels);
  }
}

Frame cut(const Frame& frame, const VaeArea& area, FramePool& pool) {
  Frame out(pool, area.height, area.width, frame.channels());
  paste(frame, area, out, {.height = area.height, .width = area.width});
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
  cuttable_ = !has<Upsample>(trunk_);
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
  if (strips > 1 && cuttable_) return decode_strips(latent, sink, strips);
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
  const int64_t height = latent.dim(2), width = latent.dim(3);
  const std::vector<VaeStrip> all = strips_across(height, width, strips, halo());
  FrameList waiting;
  run_trunk(latent, [&](Frame frame) { waiting.push_back(std::move(frame)); });
  trunk_.pool().clear();
  for (const VaeStrip& strip : all) {
    rise_.reset();
    decode_area(waiting, strip_area(height, width, strip.first, strip.last),
                strip_area(height, width, strip.begin, strip.end), sink);
  }
}

void VaeDecoder::decode_area(const FrameList& frames, const VaeArea& from, const VaeArea& own,
                             const Sink& sink) {
  const VaeArea kept = scaled({own.top - from.top, own.left - from.left, own.height, own.width}, scale_);
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
  fall_ = std::move(build.stack);
  size_t end = fall_.layers.size();
  while (end > 0 && !std::holds_alternative<Downsample>(fall_.layers[end - 1].body)) --end;
  trunk_ = fall_.split(end);
  cuttable_ = !has<PixelAttention>(fall_);
  latent_channels_ = build.latent_channels;
  scale_ = build.scale;
  frame_scale_ = build.frame_scale;
}

int64_t VaeEncoder::halo() const {
  return (strip_halo(fall_) + scale_ - 1) / scale_;
}

// Gives one frame for each of the latent's.
void VaeEncoder::run_fall(const Video& video, const VaeArea& pixels, const VaeStack::Sink& each) {
  const bool whole = pixels.height == video.height && pixels.width == video.width;
  fall_.reset();
  for (int64_t t = 0; t < video.frames;) {
    FrameList chunk;
    for (const int64_t stop = t == 0 ? 1 : t + frame_scale_; t < stop; ++t) {
      Frame frame(fall_.pool(), video.height, video.width, 3);
      video.read(t, frame.values());
      chunk.push_back(whole ? std::move(frame) : cut(frame, pixels, fall_.pool()));
    }
    fall_.push(std::move(chunk), t == video.frames, each);
  }
}

void VaeEncoder::fall_in_strips(const Video& video, int64_t strips, const VaeStack::Sink& each) {
  const int64_t height = video.height / scale_, width = video.width / scale_;
  FrameList joined;
  for (const VaeStrip& strip : strips_across(height, width, strips, halo())) {
    const VaeArea from = strip_area(height, width, strip.first, strip.last);
    const VaeArea own = strip_area(height, width, strip.begin, strip.end);
    size_t index = 0;
    run_fall(video, scaled(from, scale_), [&](const Frame& part) {
      if (index == joined.size()) joined.emplace_back(trunk_.pool(), height, width, part.channels());
      paste(part, {own.top - from.top, own.left - from.left, own.height, own.width}, joined[index++], own);
    });
  }
  fall_.reset();
  for (Frame& frame : joined) each(std::move(frame));
}

Tensor VaeEncoder::encode(int64_t frames, int64_t height, int64_t width, const Source& read, int64_t strips) {
  if (frames < 1 || (frames - 1) % frame_scale_ != 0) {
    throw Error({.what = fmt::format("the video has {} frames, expected {} n + 1", frames, frame_scale_)});
  }
  if (height < scale_ || width < scale_ || height % scale_ != 0 || width % scale_ != 0) {
    throw Error({.what = fmt::format("the video is {} x {} pixels, expected multiples of {}", width, height,
                                     scale_)});
  }
  const int64_t latent_frames = 1 + (frames - 1) / frame_scale_, pixels = height / scale_ * (width / scale_);
  Tensor latent(DType::kF32, {latent_channels_, latent_frames, height / scale_, width / scale_});
  const StreamEnd fall_end(fall_), trunk_end(trunk_);
  int64_t index = 0, fallen = 0;
  const auto sink = [&](Frame frame) {
    const std::span<float> values = frame.values();
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t c = i % kMean.size();
      values[i] = (values[i] - kMean[c]) * (1.0f / kStd[c]);
    }
    pixels_to_planes(values, latent_channels_, latent.as<float>().data() + index++ * pixels,
                     latent_frames * pixels);
  };
  const auto to_trunk = [&](Frame frame) {
    FrameList one;
    one.push_back(std::move(frame));
    trunk_.push(std::move(one), ++fallen == latent_frames, sink);
  };
  const Video video{frames, height, width, read};
  if (strips > 1 && cuttable_) {
    fall_in_strips(video, strips, to_trunk);
  } else {
    run_fall(video, {.height = height, .width = width}, to_trunk);
  }
  CHECK(index == latent_frames);
  return latent;
}

Tensor VaeEncoder::encode(const Tensor& video, int64_t strips) {
  const Shape& shape = video.shape();
  if (video.dtype() != DType::kF32 || shape.size() != 4 || shape[0] != 3) {
    throw Error({.what = fmt::format("the video is {} {}, expected F32 [3, frames, height, width]",
                                     name_of(video.dtype()), to_string(shape))});
  }
  const int64_t pixels = shape[2] * shape[3];
  const auto read = [&](int64_t index, std::span<float> rgb) {
    planes_to_pixels(video.as<float>().data() + index * pixels, shape[1] * pixels, 3, pixels, rgb.data());
  };
  return encode(shape[1], shape[2], shape[3], read, strips);
}

}  // namespace wanslim
