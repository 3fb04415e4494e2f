// SPDX-License-Identifier: Apache-2.0
// The visual encoder of CLIP (open-clip xlm-roberta-large-vit-huge-14) that conditions image-to-video (spec
// wan-forward A6, A9 item 7): all layers but the last, without the last norm.
//
//   NamedCheckpoint weights = open_clip(path);
//   ClipVision clip(weights, {});
//   Tensor features = clip.forward(clip.preprocess(picture));   // [257, 1280]
//
// Names: "visual.transformer.3.attn.to_qkv.weight"; the textual tower, post_norm and head are not read. Sizes
// come from the weights; a head is 80 wide. Same bits for any number of threads.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/frames.h"
#include "models/named_checkpoint.h"
#include "nn/linear.h"

namespace wanslim {

// A checkpoint file, or a folder that holds the official .pth. Error if it has no visual tower of CLIP.
NamedCheckpoint open_clip(const Path& path);

enum class ClipNumerics : uint8_t {
  kF16,   // as the official pipeline: values between operations are f16, norms, softmax and sums float
  kF32,   // everything float
  kBF16,  // operands of matrix products bf16, the rest float: the fastest
};

struct ClipOptions {
  ClipNumerics numerics = ClipNumerics::kF16;
  bool keep_weights =
      false;  // packed in memory (2.5 GB, bf16 half of it); else read layer by layer in every forward
};

class ClipVision {
 public:
  // `weights` outlives this. Error naming a tensor that is missing or misshapen.
  explicit ClipVision(const WeightSource& weights, const ClipOptions& options = {});

  int64_t width() const { return dim_; }
  int64_t tokens() const { return tokens_; }          // 257
  int64_t image_size() const { return image_size_; }  // 224

  // [3, image_size, image_size] of one 8-bit RGB picture: bicubic to the square whatever its shape, not
  // clamped, then normalised.
  Tensor preprocess(const Frames& picture) const;
  // The same of a picture [3, height, width] in [-1, 1].
  Tensor preprocess(const Tensor& picture) const;

  // Features [tokens, width] of a preprocessed picture. `pass.tap` sees the residual stream as
  // "visual.embeddings", "visual.pre_norm", "visual.transformer.N.attn" (what attention adds) and
  // "visual.transformer.N".
  Tensor forward(const Tensor& image, const Pass& pass = {}) const;

 private:
  struct Norm {
    std::vector<float> weight, bias;
  };
  struct Block {
    Norm norm1, norm2;
    Linear qkv, proj, up, down;
  };
  struct State;
  Block load_block(int64_t index) const;
  Norm load_norm(const std::string& name) const;
  Compute compute() const {
    return options_.numerics == ClipNumerics::kBF16 ? Compute::kBF16 : Compute::kF32;
  }
  void embed(const Tensor& image, State& state) const;
  void norm(const Norm& parameters, State& state) const;
  void attend(const Block& block, State& state, const Pass& pass) const;
  void run_block(const Block& block, const std::string& name, State& state, const Pass& pass) const;
  void round(std::span<float> values) const;

  const WeightSource& weights_;
  ClipOptions options_;
  int64_t dim_ = 0, heads_ = 0, patch_ = 0, tokens_ = 0, image_size_ = 0, layers_ = 0;
  std::vector<float> start_;  // [tokens, dim]: class embedding and positions
  Linear patches_;
  Norm pre_norm_;
  std::vector<Block> blocks_;  // empty unless weights are kept
};

}  // namespace wanslim
