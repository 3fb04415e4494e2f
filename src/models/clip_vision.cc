// SPDX-License-Identifier: Apache-2.0
#include "models/clip_vision.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/norm.h"
#include "kernels/resize.h"
#include "models/float_weights.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr std::string_view kFile = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";
constexpr int64_t kHeadDim = 80;
constexpr float kEps = 1e-5f;
constexpr std::array<float, 3> kMean = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr std::array<float, 3> kStd = {0.26862954f, 0.26130258f, 0.27577711f};

void round_f16(std::span<float> values) {
  parallel_for(static_cast<int64_t>(values.size()), 1 << 14, [&](int64_t begin, int64_t end) {
    for (float& x : values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)))
      x = f16_to_float(float_to_f16(x));
  });
}

// The official module holds its weights in f16, whatever the file has.
class F16Weights : public WeightSource {
 public:
  explicit F16Weights(const WeightSource& source) : source_(source) {}
  bool has(std::string_view tensor) const override { return source_.has(tensor); }
  Shape shape(std::string_view tensor) const override { return source_.shape(tensor); }
  DType dtype(std::string_view tensor) const override { return source_.dtype(tensor); }
  Tensor load(std::string_view tensor) const override {
    Tensor out = source_.load(tensor);
    if (out.dtype() == DType::kF32) round_f16(out.as<float>());
    return out;
  }
  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override {
    return source_.load_quantized(layer);
  }

 private:
  const WeightSource& source_;
};

[[noreturn]] void not_clip(std::string_view why, std::string_view tensor) {
  throw Error({.what = std::string(why),
               .where = fmt::format("\"{}\"", tensor),
               .hint = "this is no visual encoder of CLIP as Wan2.1 has it"});
}

Linear load_linear(const WeightSource& weights, const std::string& name, int64_t in, int64_t out,
                   Compute compute) {
  Linear linear = Linear::load(weights, name, compute);
  if (linear.in() == in && (out == 0 || linear.out() == out)) return linear;
  not_clip(fmt::format("multiplies {} inputs to {} outputs, expected {} to {}", linear.in(), linear.out(), in,
                       out == 0 ? "any" : std::to_string(out)),
           name);
}

}  // namespace

NamedCheckpoint open_clip(const Path& path) {
  constexpr std::string_view kNames[] = {kFile, "models_clip.safetensors"};
  const Path found = find_in_folder(path, "CLIP", kNames);
  NamedCheckpoint out(Checkpoint::open(found));
  if (!out.has("visual.patch_embedding.weight")) {
    throw Error({.what = "this is no CLIP as Wan2.1 has it: \"visual.patch_embedding.weight\" is missing",
                 .where = found.string(),
                 .hint = fmt::format("give {}", kFile)});
  }
  return out;
}

// The residual stream and what is reused from layer to layer.
struct ClipVision::State {
  RowBuffer x;                    // float
  RowBuffer normed, wide, piece;  // in the dtype of the compute mode
  RowBuffer k, v;
  RowBuffer added;  // float: what a Linear adds to x, where that is wanted by itself
};

ClipVision::ClipVision(const WeightSource& weights, const ClipOptions& options)
    : weights_(weights), options_(options) {
  const std::string patch = "visual.patch_embedding.weight", position = "visual.pos_embedding";
  for (const std::string& name : {patch, position}) {
    if (!weights.has(name)) not_clip("the tensor is missing", name);
  }
  const Shape shape = weights.shape(patch), positions = weights.shape(position);
  if (shape.size() != 4 || shape[0] < kHeadDim || shape[0] % kHeadDim != 0 || shape[1] != 3 || shape[2] < 1 ||
      shape[2] != shape[3]) {
    not_clip(
        fmt::format("shape is {}, expected [multiple of {}, 3, patch, patch]", to_string(shape), kHeadDim),
        patch);
  }
  dim_ = shape[0];
  heads_ = dim_ / kHeadDim;
  patch_ = shape[2];
  tokens_ = positions.size() == 3 ? positions[1] : 0;
  const int64_t across = std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(0, tokens_ - 1))));
  if (positions != Shape{1, across * across + 1, dim_} || across < 1) {
    not_clip(fmt::format("shape is {}, expected [1, n * n + 1, {}]", to_string(positions), dim_), position);
  }
  image_size_ = across * patch_;
  while (weights.has(fmt::format("visual.transformer.{}.norm1.weight", layers_))) ++layers_;
  if (layers_ < 2) not_clip("expected at least two layers", "visual.transformer.1.norm1.weight");
  --layers_;  // the last is not used

  const F16Weights rounded(weights);
  const WeightSource& source = options.numerics == ClipNumerics::kF16 ? rounded : weights;
  start_ = load_floats(source, position, positions);
  const std::vector<float> first = load_floats(source, "visual.cls_embedding", {1, 1, dim_});
  for (size_t i = 0; i < first.size(); ++i) start_[i] += first[i];
  round(std::span(start_).subspan(0, first.size()));
  patches_ = load_linear(source, "visual.patch_embedding", 3 * patch_ * patch_, dim_, compute());
  pre_norm_ = load_norm("visual.pre_norm");
  for (int64_t i = 0; options.keep_weights && i < layers_; ++i) blocks_.push_back(load_block(i));
}

ClipVision::Norm ClipVision::load_norm(const std::string& name) const {
  const F16Weights rounded(weights_);
  const WeightSource& source = options_.numerics == ClipNumerics::kF16 ? rounded : weights_;
  return {.weight = load_floats(source, name + ".weight", {dim_}),
          .bias = load_floats(source, name + ".bias", {dim_})};
}

ClipVision::Block ClipVision::load_block(int64_t index) const {
  const F16Weights rounded(weights_);
  const WeightSource& source = options_.numerics == ClipNumerics::kF16 ? rounded : weights_;
  const std::string name = fmt::format("visual.transformer.{}", index);
  Block block;
  block.norm1 = load_norm(name + ".norm1");
  block.norm2 = load_norm(name + ".norm2");
  block.qkv = load_linear(source, name + ".attn.to_qkv", dim_, 3 * dim_, compute());
  block.proj = load_linear(source, name + ".attn.proj", dim_, dim_, compute());
  block.up = load_linear(source, name + ".mlp.0", dim_, 0, compute());
  block.down = load_linear(source, name + ".mlp.2", block.up.out(), dim_, compute());
  return block;
}

void ClipVision::round(std::span<float> values) const {
  if (options_.numerics == ClipNumerics::kF16) round_f16(values);
}

Tensor ClipVision::preprocess(const Frames& picture) const {
  if (picture.count != 1) {
    throw Error({.what = fmt::format("there are {} pictures, expected one", picture.count)});
  }
  return preprocess(values_from_frames(picture));
}

Tensor ClipVision::preprocess(const Tensor& picture) const {
  const Shape& shape = picture.shape();
  if (picture.dtype() != DType::kF32 || shape.size() < 3 || shape[0] != 3 || picture.count() == 0 ||
      picture.count() != 3 * shape[shape.size() - 2] * shape.back()) {
    throw Error({.what = fmt::format("the picture is {} {}, expected F32 [3, height, width]",
                                     name_of(picture.dtype()), to_string(shape))});
  }
  Tensor out(DType::kF32, {3, image_size_, image_size_});
  resize_planes(picture.as<float>(), {shape[shape.size() - 2], shape.back()}, out.as<float>(),
                {image_size_, image_size_}, ResizeFilter::kBicubic);
  const std::span<float> values = out.as<float>();
  const size_t plane = values.size() / 3;
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = (values[i] * 0.5f + 0.5f - kMean[i / plane]) / kStd[i / plane];
  return out;
}

void ClipVision::embed(const Tensor& image, State& state) const {
  const std::span<const float> pixels = image.as<float>();
  const int64_t across = image_size_ / patch_, plane = image_size_ * image_size_;
  RowBuffer patches(DType::kF32, across * across, 3 * patch_ * patch_);
  float* to = patches.f32();
  for (int64_t token = 0; token < across * across; ++token) {
    const int64_t corner = token / across * patch_ * image_size_ + token % across * patch_;
    for (int64_t row = 0; row < 3 * patch_; ++row) {  // of all channels
      const int64_t from = corner + row / patch_ * plane + row % patch_ * image_size_;
      to = std::copy_n(pixels.data() + from, patch_, to);
    }
  }
  round({patches.f32(), static_cast<size_t>(patches.count() * patches.width())});
  convert_rows(patches, state.piece, dtype_of(compute()));
  state.x.resize(DType::kF32, tokens_, dim_);
  const std::span<float> x(state.x.f32(), static_cast<size_t>(tokens_ * dim_));
  std::fill_n(x.begin(), dim_, 0.0f);
  if (compute() == Compute::kF32) {
    patches_.forward(state.piece, {.f32 = x.data() + dim_});
  } else {
    RowBuffer wide;
    state.normed.resize(DType::kBF16, tokens_ - 1, dim_);
    patches_.forward(state.piece, {.bf16 = state.normed.bf16()});
    convert_rows(state.normed, wide, DType::kF32);
    std::copy_n(wide.f32(), (tokens_ - 1) * dim_, x.data() + dim_);
  }
  round(x);
  for (size_t i = 0; i < x.size(); ++i) x[i] += start_[i];
  round(x);
}

void ClipVision::norm(const Norm& parameters, State& state) const {
  const LayerNorm norm{.eps = kEps, .weight = parameters.weight.data(), .bias = parameters.bias.data()};
  state.normed.resize(dtype_of(compute()), tokens_, dim_);
  if (compute() == Compute::kF32) {
    layer_norm(state.x.f32(), tokens_, dim_, norm, state.normed.f32());
    round({state.normed.f32(), static_cast<size_t>(tokens_ * dim_)});
  } else {
    layer_norm(state.x.f32(), tokens_, dim_, norm, state.normed.bf16());
  }
}

namespace {

// Columns [first, first + width) of `rows` as dense rows.
template <class T>
std::span<const T> columns(const T* rows, int64_t count, int64_t stride, int64_t first, int64_t width,
                           T* out) {
  for (int64_t i = 0; i < count; ++i) std::copy_n(rows + i * stride + first, width, out + i * width);
  return {out, static_cast<size_t>(count * width)};
}

}  // namespace

// state.normed to what attention gives before its last projection, in state.piece.
void ClipVision::attend(const Block& block, State& state, const Pass& pass) const {
  const DType dtype = dtype_of(compute());
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  state.wide.resize(dtype, tokens_, 3 * dim_);
  for (RowBuffer* rows : {&state.piece, &state.k, &state.v}) rows->resize(dtype, tokens_, dim_);
  if (dtype == DType::kF32) {
    float* const qkv = state.wide.f32();
    block.qkv.forward(state.normed, {.f32 = qkv}, pass);
    round({qkv, static_cast<size_t>(tokens_ * 3 * dim_)});
    const auto k = columns<float>(qkv, tokens_, 3 * dim_, dim_, dim_, state.k.f32());
    const auto v = columns<float>(qkv, tokens_, 3 * dim_, 2 * dim_, dim_, state.v.f32());
    const PackedKeys keys = pack_keys_f32(k, v, tokens_, heads_, kHeadDim);
    const auto q = columns<float>(qkv, tokens_, 3 * dim_, 0, dim_, state.k.f32());
    attention_f32(q.data(), tokens_, keys, scale, state.piece.f32());
    round({state.piece.f32(), q.size()});
  } else {
    uint16_t* const qkv = state.wide.bf16();
    block.qkv.forward(state.normed, {.bf16 = qkv}, pass);
    const auto k = columns<uint16_t>(qkv, tokens_, 3 * dim_, dim_, dim_, state.k.bf16());
    const auto v = columns<uint16_t>(qkv, tokens_, 3 * dim_, 2 * dim_, dim_, state.v.bf16());
    const PackedKeys keys = pack_keys_bf16(k, v, tokens_, heads_, kHeadDim);
    const auto q = columns<uint16_t>(qkv, tokens_, 3 * dim_, 0, dim_, state.k.bf16());
    attention_bf16(q.data(), tokens_, keys, scale, state.piece.bf16());
  }
}

void ClipVision::run_block(const Block& block, const std::string& name, State& state,
                           const Pass& pass) const {
  const size_t count = static_cast<size_t>(tokens_ * dim_);
  const bool by_itself = options_.numerics == ClipNumerics::kF16 || wants_values(pass.tap);
  // x += linear(rows), with the roundings of f16 after each of the two.
  const auto add = [&](const Linear& linear, const Rows& rows, const std::string& shown) {
    if (!by_itself) return linear.forward(rows, {.f32 = state.x.f32(), .add = true}, pass);
    state.added.resize(DType::kF32, tokens_, dim_);
    linear.forward(rows, {.f32 = state.added.f32()}, pass);
    round({state.added.f32(), count});
    if (wants_values(pass.tap) && !shown.empty()) pass.tap->value(shown, state.added);
    for (size_t i = 0; i < count; ++i) state.x.f32()[i] += state.added.f32()[i];
    round({state.x.f32(), count});
  };
  norm(block.norm1, state);
  attend(block, state, pass);
  add(block.proj, state.piece, name + ".attn");
  norm(block.norm2, state);
  state.wide.resize(dtype_of(compute()), tokens_, block.up.out());
  if (compute() == Compute::kBF16) {
    block.up.forward(state.normed, {.bf16 = state.wide.bf16(), .activation = Activation::kGeluErf}, pass);
  } else if (options_.numerics == ClipNumerics::kF32) {
    block.up.forward(state.normed, {.f32 = state.wide.f32(), .activation = Activation::kGeluErf}, pass);
  } else {
    const std::span<float> hidden(state.wide.f32(), static_cast<size_t>(tokens_ * block.up.out()));
    block.up.forward(state.normed, {.f32 = hidden.data()}, pass);
    round(hidden);
    activate(Activation::kGeluErf, false, hidden);
    round(hidden);
  }
  add(block.down, state.wide, "");
  if (wants_values(pass.tap)) pass.tap->value(name, state.x);
}

Tensor ClipVision::forward(const Tensor& image, const Pass& pass) const {
  if (image.dtype() != DType::kF32 || image.shape() != Shape{3, image_size_, image_size_}) {
    throw Error({.what = fmt::format("the picture is {} {}, expected F32 [3, {}, {}]", name_of(image.dtype()),
                                     to_string(image.shape()), image_size_, image_size_)});
  }
  State state;
  embed(image, state);
  if (wants_values(pass.tap)) pass.tap->value("visual.embeddings", state.x);
  norm(pre_norm_, state);
  convert_rows(state.normed, state.x, DType::kF32);
  if (wants_values(pass.tap)) pass.tap->value("visual.pre_norm", state.x);
  for (int64_t i = 0; i < layers_; ++i) {
    const std::string name = fmt::format("visual.transformer.{}", i);
    if (options_.keep_weights) {
      run_block(blocks_[static_cast<size_t>(i)], name, state, pass);
    } else {
      run_block(load_block(i), name, state, pass);
    }
    for (int64_t k = 0; k < tokens_ * dim_; ++k) {
      if (std::isfinite(state.x.f32()[k])) continue;
      throw Error({.what = "a value is not finite",
                   .where = fmt::format("CLIP, in \"{}\", token {}", name, k / dim_),
                   .hint = "the checkpoint or the picture is damaged"});
    }
  }
  Tensor out(DType::kF32, {tokens_, dim_});
  std::copy_n(state.x.f32(), tokens_ * dim_, out.as<float>().data());
  return out;
}

}  // namespace wanslim
