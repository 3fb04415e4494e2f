// SPDX-License-Identifier: Apache-2.0
// The layers of the Wan VAE as state machines over a stream of frames (spec wan-forward A5, A9 item 5): each
// takes the next frames and gives those that follow from them, and keeps what later ones need. Cutting the
// stream differently changes no bit of the result; the official chunks (1, 4, 4, ... pixel frames, 1, 1, ...
// latent frames) are one such cut.
//
// What starts a stream: a causal convolution sees zeros before the first frame; a temporal resampling lets
// the first frame pass and begins with the second.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/conv.h"
#include "kernels/gemm.h"
#include "models/frame_pool.h"

namespace wanslim {

// Convolutions over the same stream, causal in time: every frame gives one output of each, in their order.
class CausalConv {
 public:
  CausalConv() = default;
  explicit CausalConv(Conv conv) { convs_.push_back(std::move(conv)); }
  CausalConv(Conv first, Conv second);

  DType input_dtype() const { return convs_[0].input_dtype(); }
  size_t bytes() const;
  // Pixels on each side that an output depends on.
  int64_t reach() const { return convs_[0].spec().width / 2; }

  // `frames` are of input_dtype(). With `last` nothing is kept. `onto`: frames that the outputs of the only
  // convolution are added to and given back as; empty: new ones.
  FrameList push(FrameList frames, bool last, FramePool& pool, FrameList onto = {});
  void reset() { history_.clear(); }

 private:
  std::vector<Conv> convs_;
  FrameList history_;  // the last inputs, at most frames - 1
};

// silu(norm(x)) or x itself, then a convolution.
struct NormConv {
  std::vector<float> gamma;  // empty: no norm, no SiLU
  CausalConv conv;
};

struct ResidualBlock {
  NormConv first, second;
  std::optional<Conv> shortcut;  // 1x1, where the channels change
};

// Single-head attention among the pixels of a frame.
struct PixelAttention {
  std::vector<float> gamma;
  PackedWeight q, k, v, proj;
  std::vector<float> q_bias, k_bias, v_bias, proj_bias;
};

// Halves the picture; with `time` then also the frames: (1, 2) -> 2, (2, 3, 4) -> 3, (4, 5, 6) -> 4.
struct Downsample {
  Conv spatial;
  std::optional<Conv> time;  // 3 frames to 1
  FrameList window = {};     // frames that the next one is made of
  bool started = false;
};

// Doubles the frames but the first if there is `time`, then the picture.
struct Upsample {
  std::optional<CausalConv> time;  // two outputs per frame
  Conv spatial;
  bool started = false;
};

struct VaeLayer {
  std::string name;  // official: "decoder.upsamples.3"
  std::variant<NormConv, ResidualBlock, PixelAttention, Downsample, Upsample> body;
  int64_t frames_seen = 0;
};

// Layers one after the other. Frames go through depth first and in small groups, so that what is in flight
// stays small beside what the layers must keep.
class VaeStack {
 public:
  using Sink = std::function<void(Frame frame)>;
  using Tap = std::function<void(std::string_view layer, const Frame& frame)>;

  std::vector<VaeLayer> layers;
  Tap tap;  // sees every output of every layer; for tests

  // The next frames of the stream; `last` ends it. Error naming layer and frame if a value is not finite.
  void push(FrameList frames, bool last, const Sink& sink) { push_from(0, std::move(frames), last, sink); }
  // Forgets the stream.
  void reset();

  // Takes the layers from `index` on away into a stack of their own.
  VaeStack split(size_t index);

  FramePool& pool() { return *pool_; }
  size_t weight_bytes() const;

 private:
  void push_from(size_t index, FrameList frames, bool last, const Sink& sink);

  std::unique_ptr<FramePool> pool_ = std::make_unique<FramePool>();  // stays where it is when the stack moves
};

}  // namespace wanslim
