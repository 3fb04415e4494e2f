// SPDX-License-Identifier: Apache-2.0
#include "models/wan_embed.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/threads.h"
#include "kernels/convert.h"

namespace wanslim {
namespace {

constexpr float kImageNormEps = 1e-5f;  // that of nn.LayerNorm, unlike the model's 1e-6

void copy_row(std::span<const float> row, RowBuffer& to, int64_t at) {
  if (to.dtype() == DType::kF32) {
    std::copy(row.begin(), row.end(), to.f32() + at * to.width());
  } else {
    narrow_bf16(row, {to.bf16() + at * to.width(), row.size()});
  }
}

// Rows of a tensor in any float dtype.
void rows_of(const Tensor& tensor, RowBuffer& to, DType dtype) {
  const Tensor wide = to_f32(tensor);
  const int64_t width = tensor.shape().back();
  convert_rows({DType::kF32, wide.raw().data(), tensor.count() / width, width}, to, dtype);
}

LinearTarget into(RowBuffer& rows, Activation activation = Activation::kNone) {
  LinearTarget target{.activation = activation};
  if (rows.dtype() == DType::kF32) {
    target.f32 = rows.f32();
  } else {
    target.bf16 = rows.bf16();
  }
  return target;
}

void show(const Pass& pass, const char* name, const Rows& rows) {
  if (wants_values(pass.tap)) pass.tap->value(name, rows);
}

}  // namespace

RowBuffer patch_rows(const Tensor& latent, const Tensor* extra, DType dtype) {
  const int64_t frames = latent.dim(1), height = latent.dim(2), width = latent.dim(3);
  const int64_t channels = latent.dim(0) + (extra != nullptr ? extra->dim(0) : 0);
  const Tensor own = to_f32(latent), more = extra != nullptr ? to_f32(*extra) : Tensor();
  RowBuffer rows(dtype, frames * (height / 2) * (width / 2), channels * 4);
  parallel_for(frames * (height / 2), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(channels * 4));
    for (int64_t line = begin; line < end; ++line) {
      const int64_t frame = line / (height / 2), y = line % (height / 2) * 2;
      for (int64_t x = 0; x < width; x += 2) {
        for (int64_t c = 0; c < channels; ++c) {
          const bool mine = c < latent.dim(0);
          const float* plane = (mine ? own : more).as<float>().data() +
                               ((mine ? c : c - latent.dim(0)) * frames + frame) * height * width;
          const float* corner = plane + y * width + x;
          std::copy_n(corner, 2, row.data() + c * 4);
          std::copy_n(corner + width, 2, row.data() + c * 4 + 2);
        }
        copy_row(row, rows, line * (width / 2) + x / 2);
      }
    }
  });
  return rows;
}

Tensor unpatch_rows(const Rows& rows, int64_t channels, int64_t frames, int64_t height, int64_t width) {
  CHECK(rows.width == channels * 4 && rows.count == frames * (height / 2) * (width / 2));
  Tensor out(DType::kF32, {channels, frames, height, width});
  const std::span<float> values = out.as<float>();
  for (int64_t token = 0; token < rows.count; ++token) {
    const int64_t frame = token / (height / 2 * (width / 2)), within = token % (height / 2 * (width / 2));
    const int64_t y = within / (width / 2) * 2, x = within % (width / 2) * 2;
    for (int64_t i = 0; i < 4 * channels; ++i) {
      const int64_t corner = i / channels, c = i % channels;
      const int64_t at = ((c * frames + frame) * height + y + corner / 2) * width + x + corner % 2;
      values[static_cast<size_t>(at)] = rows.f32()[token * rows.width + i];
    }
  }
  return out;
}

WanEmbed::WanEmbed(const WeightSource& source, const WanGeometry& geometry, Compute compute)
    : geometry_(geometry), compute_(compute) {
  patch_ = Linear::load(source, "patch_embedding", compute);
  text0_ = Linear::load(source, "text_embedding.0", compute);
  text2_ = Linear::load(source, "text_embedding.2", compute);
  time0_ = Linear::load(source, "time_embedding.0", Compute::kF32);
  time2_ = Linear::load(source, "time_embedding.2", Compute::kF32);
  time_projection_ = Linear::load(source, "time_projection.1", Compute::kF32);
  if (!geometry.vace_layers.empty()) vace_patch_ = Linear::load(source, "vace_patch_embedding", compute);
  if (!geometry.has_image_condition) return;
  Image& image = image_.emplace();
  image.linear1 = Linear::load(source, "img_emb.proj.1", compute);
  image.linear3 = Linear::load(source, "img_emb.proj.3", compute);
  image.norm0 = NormParameters::load(source, "img_emb.proj.0", image.linear1.in());
  image.norm4 = NormParameters::load(source, "img_emb.proj.4", geometry.dim);
  if (geometry.has_image_position) {
    image.position =
        load_parameter(source, "img_emb.emb_pos", 2 * geometry.image_tokens * image.linear1.in());
  }
}

void WanEmbed::patches(const Rows& patch_rows, RowBuffer& x, const Pass& pass) const {
  RowBuffer narrow(dtype_of(compute_), patch_rows.count, geometry_.dim);
  patch_.forward(patch_rows, into(narrow), pass);
  convert_rows(narrow, x, DType::kF32);
}

void WanEmbed::vace_patches(const Rows& patch_rows, RowBuffer& c, const Pass& pass) const {
  RowBuffer narrow(dtype_of(compute_), patch_rows.count, geometry_.dim);
  vace_patch_->forward(patch_rows, into(narrow), pass);
  convert_rows(narrow, c, DType::kF32);
}

void WanEmbed::time(double timestep, std::vector<float>& e, std::vector<float>& e0, const Pass& pass) const {
  const std::vector<float> wave = sinusoid(timestep, geometry_.freq_dim);
  std::vector<float> hidden(static_cast<size_t>(geometry_.dim));
  e.resize(hidden.size());
  e0.resize(hidden.size() * 6);
  time0_.forward({DType::kF32, wave.data(), 1, geometry_.freq_dim},
                 {.f32 = hidden.data(), .activation = Activation::kSilu}, pass);
  time2_.forward({DType::kF32, hidden.data(), 1, geometry_.dim}, {.f32 = e.data()}, pass);
  hidden = e;
  activate(Activation::kSilu, false, hidden);
  time_projection_.forward({DType::kF32, hidden.data(), 1, geometry_.dim}, {.f32 = e0.data()}, pass);
}

WanContext WanEmbed::context(const Tensor& text, const Tensor* clip, const Pass& pass) const {
  WanContext context;
  embed_text(text, context, pass);
  if (image_) embed_image(*clip, context, pass);
  return context;
}

// All padding rows are zero before the embedding and equal after it, so that one stands for all. None if the
// text fills the context.
void WanEmbed::embed_text(const Tensor& text, WanContext& context, const Pass& pass) const {
  const int64_t valid = text.dim(0), rows = std::min(valid + 1, geometry_.text_len);
  RowBuffer wide(DType::kF32, rows, text.dim(1)), input, hidden(dtype_of(compute_), rows, geometry_.dim);
  const Tensor values = to_f32(text);
  std::fill_n(wide.f32(), rows * text.dim(1), 0.0f);
  std::copy_n(values.as<float>().data(), valid * text.dim(1), wide.f32());
  convert_rows(wide, input, dtype_of(compute_));
  text0_.forward(input, into(hidden, Activation::kGeluTanh), pass);
  context.text.resize(dtype_of(compute_), rows, geometry_.dim);
  text2_.forward(hidden, into(context.text), pass);
  context.pad_count = rows > valid ? geometry_.text_len - valid : 1;
  show(pass, "text_embedding", context.text);
}

void WanEmbed::embed_image(const Tensor& clip, WanContext& context, const Pass& pass) const {
  RowBuffer rows, normed, hidden, projected;
  rows_of(clip, rows, DType::kF32);
  for (size_t i = 0; i < image_->position.size(); ++i) rows.f32()[i] += image_->position[i];
  const auto norm = [](const NormParameters& p) {
    return LayerNorm{.eps = kImageNormEps, .weight = p.weight.data(), .bias = p.bias.data()};
  };
  normalize(rows, norm(image_->norm0), dtype_of(compute_), normed);
  hidden.resize(dtype_of(compute_), rows.count(), image_->linear1.out());
  image_->linear1.forward(normed, into(hidden, Activation::kGeluErf), pass);
  projected.resize(dtype_of(compute_), rows.count(), geometry_.dim);
  image_->linear3.forward(hidden, into(projected), pass);
  convert_rows(projected, rows, DType::kF32);
  normalize(rows, norm(image_->norm4), dtype_of(compute_), context.image);
  show(pass, "img_emb", context.image);
}

WanHead::WanHead(const WeightSource& source, const WanGeometry& geometry)
    : dim_(geometry.dim),
      eps_(static_cast<float>(geometry.eps)),
      modulation_(load_parameter(source, "head.modulation", 2 * geometry.dim)),
      head_(Linear::load(source, "head.head", Compute::kF32)) {}

void WanHead::forward(const Rows& x, const std::vector<float>& e, RowBuffer& out, const Pass& pass) const {
  std::vector<float> e2 = modulation_;
  for (size_t i = 0; i < e2.size(); ++i) e2[i] += e[i % e.size()];
  RowBuffer normed;
  normalize(x, {.eps = eps_, .scale = e2.data() + dim_, .shift = e2.data()}, DType::kF32, normed);
  out.resize(DType::kF32, x.count, head_.out());
  head_.forward(normed, {.f32 = out.f32()}, pass);
  show(pass, "head", out);
}

}  // namespace wanslim
