// SPDX-License-Identifier: Apache-2.0
// One block of a Wan2.1 transformer, with its weights in memory (spec wan-forward A3.2-A3.6):
//   e = modulation + e0
//   x += e2 * self_attn(LN(x) (1 + e1) + e0)
//   x += cross_attn(LN_affine(x), context)
//   x += e5 * ffn(LN(x) (1 + e4) + e3)
// The residual stream x is float. In kBF16 the rows between layers are bf16 as under the official autocast;
// only the first block's x holds bf16 values, and its first norm is rounded to bf16.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "config/wan_variants.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/norm.h"

namespace wanslim {

// What cross attention attends to, embedded: rows in the compute dtype.
struct WanContext {
  RowBuffer text;         // the prompt's rows; the last one stands for all padding rows
  int64_t pad_count = 1;  // how many rows the last text row stands for
  RowBuffer image;        // empty without image condition
};

// Keys and values of one block's cross attention: constant for a prompt.
struct WanCrossKeys {
  PackedKeys text;
  std::optional<PackedKeys> image;
  size_t bytes() const { return text.bytes() + (image ? image->bytes() : 0); }
};

// Rows that one forward works in; kept between blocks and steps.
struct WanWorkspace {
  RowBuffer normed, q, k, v, image, hidden;
  size_t bytes() const;
};

// What a block needs to know of the forward that it is part of.
struct WanBlockCall {
  const std::vector<float>& e0;  // [6 * dim]
  const RopeGrid& rope;
  const WanCrossKeys& keys;
  bool x_is_bf16 = false;
  const Pass& pass;
};

class WanBlock {
 public:
  // `path`: "blocks.3" or "vace_blocks.0". Error naming the tensor if one is absent or misshapen.
  static WanBlock load(const WeightSource& source, const std::string& path, const WanGeometry& geometry,
                       Compute compute);

  WanCrossKeys cross_keys(const WanContext& context, const Pass& pass) const;

  // x [tokens, dim] in place. A tap that wants values sees, under "<path>.": in, self_attn.norm_q,
  // self_attn.q_rope, self_attn.k_rope, x_after_self_attn, x_after_cross_attn, out; and each Linear's result.
  void forward(RowBuffer& x, const WanBlockCall& call, WanWorkspace& work) const;

  // The projections around a VACE block: c = before_proj(c) + x, in the first only; hint = after_proj(c).
  const std::optional<Linear>& before_proj() const { return before_proj_; }
  const std::optional<Linear>& after_proj() const { return after_proj_; }

  const std::string& path() const { return path_; }
  size_t bytes() const;

 private:
  void self_attention(RowBuffer& x, const std::vector<float>& e, const WanBlockCall& call,
                      WanWorkspace& work) const;
  void cross_attention(RowBuffer& x, const WanBlockCall& call, WanWorkspace& work) const;
  void feed_forward(RowBuffer& x, const std::vector<float>& e, const WanBlockCall& call,
                    WanWorkspace& work) const;
  void project(const Linear& linear, const Rows& x, RowBuffer& y, const Pass& pass) const;
  void show(const Pass& pass, const char* name, const Rows& rows) const;
  RmsNorm rms(const std::vector<float>& weight) const;

  std::string path_;
  Compute compute_ = Compute::kF32;
  int64_t dim_ = 0, heads_ = 0;
  float eps_ = 1e-6f;
  std::vector<float> modulation_;  // [6 * dim]
  NormParameters norm3_;
  Linear q_, k_, v_, o_, cross_q_, cross_k_, cross_v_, cross_o_, ffn0_, ffn2_;
  std::vector<float> norm_q_, norm_k_, cross_norm_q_, cross_norm_k_;
  std::optional<Linear> k_img_, v_img_;
  std::vector<float> norm_k_img_;
  std::optional<Linear> before_proj_, after_proj_;
};

}  // namespace wanslim
