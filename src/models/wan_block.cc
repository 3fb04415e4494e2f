// SPDX-License-Identifier: Apache-2.0
#include "models/wan_block.h"

#include <algorithm>

#include "base/profile.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kFeedForwardRows = 1536;  // rows whose hidden layer exists at a time

// x += y, rounded where both are bf16.
void add_rows(RowBuffer& x, const Rows& y) {
  parallel_for(x.count() * x.width(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (x.dtype() == DType::kF32) {
        x.f32()[i] += y.f32()[i];
      } else {
        x.bf16()[i] = float_to_bf16(bf16_to_float(x.bf16()[i]) + bf16_to_float(y.bf16()[i]));
      }
    }
  });
}

}  // namespace

size_t WanWorkspace::bytes() const {
  return normed.capacity() + q.capacity() + k.capacity() + v.capacity() + image.capacity() +
         hidden.capacity();
}

WanBlock WanBlock::load(const WeightSource& source, const std::string& path, const WanGeometry& geometry,
                        Compute compute) {
  const Timed timed("reading and packing of blocks");
  WanBlock b;
  b.path_ = path, b.compute_ = compute, b.dim_ = geometry.dim, b.heads_ = geometry.heads;
  b.eps_ = static_cast<float>(geometry.eps);
  const auto linear = [&](const std::string& name, Linear& to) {
    to = Linear::load(source, path + "." + name, compute);
  };
  const auto norm = [&](const std::string& name) {
    return load_parameter(source, path + "." + name + ".weight", geometry.dim);
  };
  const bool image = geometry.has_image_condition;
  b.modulation_ = load_parameter(source, path + ".modulation", 6 * geometry.dim);
  linear("self_attn.q", b.q_), linear("self_attn.k", b.k_), linear("self_attn.v", b.v_),
      linear("self_attn.o", b.o_);
  b.norm_q_ = norm("self_attn.norm_q"), b.norm_k_ = norm("self_attn.norm_k");
  b.norm3_ = NormParameters::load(source, path + ".norm3", geometry.dim);
  linear("cross_attn.q", b.cross_q_), linear("cross_attn.k", b.cross_k_);
  linear("cross_attn.v", b.cross_v_), linear("cross_attn.o", b.cross_o_);
  b.cross_norm_q_ = norm("cross_attn.norm_q"), b.cross_norm_k_ = norm("cross_attn.norm_k");
  if (image) {
    linear("cross_attn.k_img", b.k_img_.emplace()), linear("cross_attn.v_img", b.v_img_.emplace());
    b.norm_k_img_ = norm("cross_attn.norm_k_img");
  }
  linear("ffn.0", b.ffn0_), linear("ffn.2", b.ffn2_);
  if (source.has(path + ".before_proj.weight")) linear("before_proj", b.before_proj_.emplace());
  if (source.has(path + ".after_proj.weight")) linear("after_proj", b.after_proj_.emplace());
  return b;
}

size_t WanBlock::bytes() const {
  size_t total = 0;
  for (const Linear* l : {&q_, &k_, &v_, &o_, &cross_q_, &cross_k_, &cross_v_, &cross_o_, &ffn0_, &ffn2_}) {
    total += l->bytes();
  }
  for (const std::optional<Linear>* l : {&k_img_, &v_img_, &before_proj_, &after_proj_}) {
    if (*l) total += (*l)->bytes();
  }
  return total + static_cast<size_t>(13 * dim_) * sizeof(float);
}

RmsNorm WanBlock::rms(const std::vector<float>& weight) const {
  return {.eps = eps_, .weight = weight.data(), .round = compute_ == Compute::kBF16};
}

void WanBlock::show(const Pass& pass, const char* name, const Rows& rows) const {
  if (wants_values(pass.tap)) pass.tap->value(path_ + "." + name, rows);
}

void WanBlock::project(const Linear& linear, const Rows& x, RowBuffer& y, const Pass& pass) const {
  y.resize(dtype_of(compute_), x.count, linear.out());
  LinearTarget target;
  if (compute_ == Compute::kF32) {
    target.f32 = y.f32();
  } else {
    target.bf16 = y.bf16();
  }
  linear.forward(x, target, pass);
}

WanCrossKeys WanBlock::cross_keys(const WanContext& context, const Pass& pass) const {
  WanCrossKeys keys;
  RowBuffer k, v;
  project(cross_k_, context.text, k, pass);
  project(cross_v_, context.text, v, pass);
  normalize_rms(k, rms(cross_norm_k_));
  keys.text = make_keys(k, v, heads_, context.pad_count);
  if (k_img_) {
    project(*k_img_, context.image, k, pass);
    project(*v_img_, context.image, v, pass);
    normalize_rms(k, rms(norm_k_img_));
    keys.image = make_keys(k, v, heads_);
  }
  return keys;
}

void WanBlock::forward(RowBuffer& x, const WanBlockCall& call, WanWorkspace& work) const {
  CHECK(x.dtype() == DType::kF32 && x.width() == dim_ && x.count() == call.rope.tokens());
  std::vector<float> e(modulation_.size());
  for (size_t i = 0; i < e.size(); ++i) e[i] = modulation_[i] + call.e0[i];
  show(call.pass, "in", x);
  self_attention(x, e, call, work);
  show(call.pass, "x_after_self_attn", x);
  cross_attention(x, call, work);
  show(call.pass, "x_after_cross_attn", x);
  feed_forward(x, e, call, work);
  show(call.pass, "out", x);
}

void WanBlock::self_attention(RowBuffer& x, const std::vector<float>& e, const WanBlockCall& call,
                              WanWorkspace& work) const {
  const LayerNorm norm{.eps = eps_,
                       .round = call.x_is_bf16 && compute_ == Compute::kBF16,
                       .scale = e.data() + dim_,
                       .shift = e.data()};
  normalize(x, norm, dtype_of(compute_), work.normed);
  project(q_, work.normed, work.q, call.pass);
  project(k_, work.normed, work.k, call.pass);
  project(v_, work.normed, work.v, call.pass);
  RmsNorm q_norm = rms(norm_q_), k_norm = rms(norm_k_);
  if (wants_values(call.pass.tap)) {
    RowBuffer copy;
    convert_rows(work.q, copy, work.q.dtype());
    normalize_rms(copy, q_norm);
    show(call.pass, "self_attn.norm_q", copy);
  }
  q_norm.rope = k_norm.rope = &call.rope;
  normalize_rms(work.q, q_norm);
  normalize_rms(work.k, k_norm);
  show(call.pass, "self_attn.q_rope", work.q);
  show(call.pass, "self_attn.k_rope", work.k);
  attend(work.q, make_keys(work.k, work.v, heads_));
  o_.forward(work.q, {.f32 = x.f32(), .add = true, .gate = e.data() + 2 * dim_}, call.pass);
}

void WanBlock::cross_attention(RowBuffer& x, const WanBlockCall& call, WanWorkspace& work) const {
  const LayerNorm norm{.eps = eps_, .weight = norm3_.weight.data(), .bias = norm3_.bias.data()};
  normalize(x, norm, dtype_of(compute_), work.normed);
  project(cross_q_, work.normed, work.q, call.pass);
  normalize_rms(work.q, rms(cross_norm_q_));
  if (call.keys.image) {
    convert_rows(work.q, work.image, work.q.dtype());
    attend(work.image, *call.keys.image);
  }
  attend(work.q, call.keys.text);
  if (call.keys.image) add_rows(work.q, work.image);
  cross_o_.forward(work.q, {.f32 = x.f32(), .add = true}, call.pass);
}

void WanBlock::feed_forward(RowBuffer& x, const std::vector<float>& e, const WanBlockCall& call,
                            WanWorkspace& work) const {
  const LayerNorm norm{.eps = eps_, .scale = e.data() + 4 * dim_, .shift = e.data() + 3 * dim_};
  // A tap sees whole inputs, so it gets all rows at once.
  const bool whole = call.pass.tap != nullptr || ffn0_.needs_all_rows() || ffn2_.needs_all_rows();
  const int64_t step = whole ? x.count() : kFeedForwardRows;
  for (int64_t first = 0; first < x.count(); first += step) {
    const int64_t rows = std::min(step, x.count() - first);
    normalize(x.view().slice(first, rows), norm, dtype_of(compute_), work.normed);
    work.hidden.resize(dtype_of(compute_), rows, ffn0_.out());
    LinearTarget hidden{.activation = Activation::kGeluTanh};
    if (compute_ == Compute::kF32) {
      hidden.f32 = work.hidden.f32();
    } else {
      hidden.bf16 = work.hidden.bf16();
    }
    ffn0_.forward(work.normed, hidden, call.pass);
    ffn2_.forward(work.hidden, {.f32 = x.f32() + first * dim_, .add = true, .gate = e.data() + 5 * dim_},
                  call.pass);
  }
}

}  // namespace wanslim
