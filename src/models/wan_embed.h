// SPDX-License-Identifier: Apache-2.0
// What stands before and after the blocks of a Wan2.1 transformer (spec wan-forward A3.1, A3.5): patches,
// time, text and image embeddings; head.
#pragma once
#include <optional>
#include <vector>

#include "models/wan_block.h"

namespace wanslim {

// Patches of 1 x 2 x 2 as rows [tokens, channels * 4], in the order (frame, row, column) of tokens and
// (channel, row, column) within a patch; channels of `extra` follow those of `latent`. Both [channels, T, h,
// w], h and w even.
RowBuffer patch_rows(const Tensor& latent, const Tensor* extra, DType dtype);

// Rows [tokens, 4 * channels] in the order (row, column, channel) within a patch, back to [channels, T, h,
// w].
Tensor unpatch_rows(const Rows& rows, int64_t channels, int64_t frames, int64_t height, int64_t width);

class WanEmbed {
 public:
  WanEmbed(const WeightSource& source, const WanGeometry& geometry, Compute compute);

  // [tokens, dim] float, in kBF16 of bf16 values.
  void patches(const Rows& patch_rows, RowBuffer& x, const Pass& pass) const;
  void vace_patches(const Rows& patch_rows, RowBuffer& c, const Pass& pass) const;
  // e [dim] and e0 [6 * dim], float in every mode.
  void time(double timestep, std::vector<float>& e, std::vector<float>& e0, const Pass& pass) const;
  // text [n, text_dim] and clip [images * tokens, width] in any float dtype.
  WanContext context(const Tensor& text, const Tensor* clip, const Pass& pass) const;

 private:
  struct Image {
    NormParameters norm0, norm4;
    Linear linear1, linear3;
    std::vector<float> position;  // first and last frame only
  };
  void embed_text(const Tensor& text, WanContext& context, const Pass& pass) const;
  void embed_image(const Tensor& clip, WanContext& context, const Pass& pass) const;

  WanGeometry geometry_;
  Compute compute_;
  Linear patch_, text0_, text2_, time0_, time2_, time_projection_;
  std::optional<Linear> vace_patch_;
  std::optional<Image> image_;
};

// Final norm, modulation by e (not e0) and projection, float in every mode.
class WanHead {
 public:
  WanHead(const WeightSource& source, const WanGeometry& geometry);
  void forward(const Rows& x, const std::vector<float>& e, RowBuffer& out, const Pass& pass) const;

 private:
  int64_t dim_ = 0;
  float eps_ = 1e-6f;
  std::vector<float> modulation_;  // [2 * dim]
  Linear head_;
};

}  // namespace wanslim
