// SPDX-License-Identifier: Apache-2.0
// The causal 3D VAE of Wan2.1 (spec wan-forward A5, A9 items 5 and 6): pixels in [-1, 1] to scaled latents
// and back.
//
//   VaeDecoder decoder(open_vae(path), {});
//   decoder.decode(latent, [](const VideoFrame& frame) { ... });   // frames come out one by one
//
// One latent frame gives 1 pixel frame at the start of a video and 4 afterwards; a latent pixel gives 8x8
// pixels. The video exists nowhere as a whole. All sizes come from the weights. Results have the same bits
// for any number of threads.
//
// Memory while decoding: the weights, and two frames for each causal convolution: 3.8 GB at 832x480 in float,
// half of it with bf16; a single frame keeps nothing and takes 0.6 GB.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "models/vae_layers.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct VaeOptions {
  // Operands of the large convolutions in bf16, sums and everything else in float, where the machine
  // multiplies bf16. The official VAE runs in float.
  bool bf16 = false;
};

// A decoded frame, before the clamp to [-1, 1].
struct VideoFrame {
  int64_t index = 0, height = 0, width = 0;
  std::span<const float> rgb;  // [height, width, 3]
};

class VaeDecoder {
 public:
  // Error naming the tensor if the weights are no whole decoder.
  explicit VaeDecoder(const WeightSource& weights, const VaeOptions& options = {});

  int64_t latent_channels() const { return latent_channels_; }
  int64_t pixels_per_latent() const { return scale_; }  // 8
  int64_t frames(int64_t latent_frames) const;          // 1 + 4 * (latent_frames - 1)

  // Latent [channels, frames, height, width], scaled as the transformer gives it. Calls `sink` for every
  // frame in order. Error if the shape does not fit or a value is not finite.
  using Sink = std::function<void(const VideoFrame& frame)>;
  void decode(const Tensor& latent, const Sink& sink);
  // The whole video [3, frames, height, width], before the clamp.
  Tensor decode(const Tensor& latent);

  size_t weight_bytes() const { return stack_.weight_bytes(); }
  size_t peak_frame_bytes() { return stack_.pool().peak_bytes(); }  // of the decodes so far
  void set_tap(VaeStack::Tap tap) { stack_.tap = std::move(tap); }

 private:
  VaeStack stack_;
  int64_t latent_channels_ = 0, scale_ = 1, frame_scale_ = 1;
};

class VaeEncoder {
 public:
  explicit VaeEncoder(const WeightSource& weights, const VaeOptions& options = {});

  int64_t latent_channels() const { return latent_channels_; }
  int64_t pixels_per_latent() const { return scale_; }
  int64_t frames_per_latent() const { return frame_scale_; }  // 4: a video has 4 n + 1 frames

  // `read` fills frame `index` of the video, [height, width, 3] in [-1, 1]; it is called once for each, in
  // order. Gives the scaled latent [channels, 1 + (frames - 1) / 4, height / 8, width / 8]. Error if the
  // sizes do not fit.
  using Source = std::function<void(int64_t index, std::span<float> rgb)>;
  Tensor encode(int64_t frames, int64_t height, int64_t width, const Source& read);
  // The same of a video [3, frames, height, width].
  Tensor encode(const Tensor& video);

  size_t weight_bytes() const { return stack_.weight_bytes(); }
  size_t peak_frame_bytes() { return stack_.pool().peak_bytes(); }
  void set_tap(VaeStack::Tap tap) { stack_.tap = std::move(tap); }

 private:
  VaeStack stack_;
  int64_t latent_channels_ = 0, scale_ = 1, frame_scale_ = 1;
};

}  // namespace wanslim
