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
// Memory while decoding: the weights, and two frames for each causal convolution: 4.5 GB at 832x480 in float,
// half of it with bf16; a single frame keeps nothing and takes 0.6 GB. In strips (vae_strips.h) it is less.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "models/vae_layers.h"
#include "models/vae_strips.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct VaeOptions {
  // Operands of the large convolutions in bf16, sums and everything else in float, where the machine
  // multiplies bf16. The official VAE runs in float.
  bool bf16 = false;
};

// A decoded frame or, in strips, a part of one, before the clamp to [-1, 1].
struct VideoFrame {
  int64_t index = 0;
  int64_t top = 0, left = 0;  // where in the frame it lies
  int64_t height = 0, width = 0;
  std::span<const float> rgb;  // [height, width, 3]
};

class VaeDecoder {
 public:
  // Error naming the tensor if the weights are no whole decoder.
  explicit VaeDecoder(const WeightSource& weights, const VaeOptions& options = {});

  int64_t latent_channels() const { return latent_channels_; }
  int64_t pixels_per_latent() const { return scale_; }  // 8
  int64_t frames(int64_t latent_frames) const;          // 1 + 4 * (latent_frames - 1)
  int64_t halo() const { return strip_halo(rise_); }    // of a strip, in latent pixels

  // Latent [channels, frames, height, width], scaled as the transformer gives it. Calls `sink` for every
  // frame in order; in `strips` across the longer side, for every frame of the first strip, then of the next,
  // with the same bits. Error if the shape does not fit, strips are more than latent pixels, or a value is
  // not finite.
  using Sink = std::function<void(const VideoFrame& frame)>;
  void decode(const Tensor& latent, const Sink& sink, int64_t strips = 1);
  // The whole video [3, frames, height, width], before the clamp.
  Tensor decode(const Tensor& latent, int64_t strips = 1);

  size_t weight_bytes() const { return trunk_.weight_bytes() + rise_.weight_bytes(); }
  // Of the decodes so far.
  size_t peak_frame_bytes() { return trunk_.pool().peak_bytes() + rise_.pool().peak_bytes(); }
  void set_tap(const VaeStack::Tap& tap) { trunk_.tap = rise_.tap = tap; }

 private:
  void run_trunk(const Tensor& latent, const VaeStack::Sink& each);
  void decode_strips(const Tensor& latent, const Sink& sink, int64_t strips);
  // The pixels of `own` from the part `from` of latent size, which are wide enough.
  void decode_area(const FrameList& frames, const VaeArea& from, const VaeArea& own, const Sink& sink);

  VaeStack trunk_;         // at the size of the latent, with all attention
  VaeStack rise_;          // from the first doubling on
  bool cuttable_ = false;  // the stacks are what they should be; else there are no strips
  int64_t latent_channels_ = 0, scale_ = 1, frame_scale_ = 1;
};

class VaeEncoder {
 public:
  explicit VaeEncoder(const WeightSource& weights, const VaeOptions& options = {});

  int64_t latent_channels() const { return latent_channels_; }
  int64_t pixels_per_latent() const { return scale_; }
  int64_t frames_per_latent() const { return frame_scale_; }  // 4: a video has 4 n + 1 frames

  int64_t halo() const;  // of a strip, in latent pixels

  // `read` fills frame `index` of the video, [height, width, 3] in [-1, 1]; it is called once for each, in
  // order, and so again for each of the `strips` across the longer side. Gives the scaled latent [channels,
  // 1 + (frames - 1) / 4, height / 8, width / 8], the same bits in any number of strips. Error if the sizes
  // do not fit or strips are more than latent pixels.
  using Source = std::function<void(int64_t index, std::span<float> rgb)>;
  Tensor encode(int64_t frames, int64_t height, int64_t width, const Source& read, int64_t strips = 1);
  // The same of a video [3, frames, height, width].
  Tensor encode(const Tensor& video, int64_t strips = 1);

  size_t weight_bytes() const { return fall_.weight_bytes() + trunk_.weight_bytes(); }
  size_t peak_frame_bytes() { return fall_.pool().peak_bytes() + trunk_.pool().peak_bytes(); }
  void set_tap(const VaeStack::Tap& tap) { fall_.tap = trunk_.tap = tap; }

 private:
  struct Video {
    int64_t frames, height, width;
    const Source& read;
  };
  void run_fall(const Video& video, const VaeArea& pixels, const VaeStack::Sink& each);
  void fall_in_strips(const Video& video, int64_t strips, const VaeStack::Sink& each);

  VaeStack fall_;   // to the last halving
  VaeStack trunk_;  // at the size of the latent, with all attention
  bool cuttable_ = false;
  int64_t latent_channels_ = 0, scale_ = 1, frame_scale_ = 1;
};

}  // namespace wanslim
