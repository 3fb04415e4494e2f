// SPDX-License-Identifier: Apache-2.0
#include "models/vae_build.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/float_weights.h"

namespace wanslim {
namespace {

// Follows the channels from layer to layer and checks every shape against them.
class Builder {
 public:
  Builder(const WeightSource& weights, bool bf16) : weights_(weights), bf16_(bf16) {}

  VaeBuild out;

  bool has(const std::string& module, std::string_view parameter) const {
    return weights_.has(fmt::format("{}.{}", module, parameter));
  }
  // Outputs of the module at `name` as its weight shows them.
  int64_t outputs(const std::string& name) const {
    const std::string weight = name + ".weight";
    if (!weights_.has(weight)) throw Error({.what = "the tensor is missing", .where = "\"" + weight + "\""});
    const Shape shape = weights_.shape(weight);
    return shape.empty() ? 0 : shape[0];
  }
  int64_t channels() const { return channels_; }
  void set_channels(int64_t channels) { channels_ = channels; }

  template <class Body>
  void add(const std::string& name, Body body) {
    out.stack.layers.push_back({.name = name, .body = std::move(body)});
  }

  // The outputs [first, first + spec.out) of the convolution `name` with `total` outputs. 3x3 and 1x1 kernels
  // with as many frames as the spec says; `flat`: the weight has no dimension for time.
  Conv conv(const std::string& name, ConvSpec spec, bool flat, int64_t total = 0, int64_t first = 0) const {
    total = total == 0 ? spec.out : total;
    Shape shape = {total, spec.in, spec.frames, spec.height, spec.width};
    if (flat) shape.erase(shape.begin() + 2);
    const std::vector<float> weight = load_floats(weights_, name + ".weight", shape);
    const std::vector<float> bias = load_floats(weights_, name + ".bias", {total});
    const size_t per_output = weight.size() / static_cast<size_t>(total);
    const size_t begin = static_cast<size_t>(first), count = static_cast<size_t>(spec.out);
    return {spec, std::span(weight).subspan(begin * per_output, count * per_output),
            std::span(bias).subspan(begin, count)};
  }
  ConvSpec causal(int64_t in, int64_t out_channels) const {
    return {.in = in,
            .out = out_channels,
            .frames = 3,
            .height = 3,
            .width = 3,
            .pad_before = 1,
            .pad_after = 1,
            .bf16 = bf16_};
  }
  std::vector<float> gamma(const std::string& name, size_t rank) const {
    Shape shape(rank, 1);
    shape[0] = channels_;
    return load_floats(weights_, name + ".gamma", shape);
  }

  void causal_conv(const std::string& name) {
    const int64_t to = outputs(name);
    add(name, NormConv{.gamma = {}, .conv = CausalConv(conv(name, causal(channels_, to), false))});
    channels_ = to;
  }
  // `keep`: only the first outputs.
  void pointwise(const std::string& name, int64_t keep = 0) {
    const int64_t total = outputs(name), to = keep == 0 ? total : keep;
    add(name,
        NormConv{.gamma = {}, .conv = CausalConv(conv(name, {.in = channels_, .out = to}, false, total))});
    channels_ = to;
  }
  void head(const std::string& name) {
    const int64_t to = outputs(name + ".2");
    std::vector<float> scale = gamma(name + ".0", 4);
    add(name, NormConv{.gamma = std::move(scale),
                       .conv = CausalConv(conv(name + ".2", causal(channels_, to), false))});
    channels_ = to;
  }

  void residual(const std::string& name) {
    const int64_t to = outputs(name + ".residual.2");
    ResidualBlock block;
    block.first = {.gamma = gamma(name + ".residual.0", 4),
                   .conv = CausalConv(conv(name + ".residual.2", causal(channels_, to), false))};
    if (channels_ != to) block.shortcut = conv(name + ".shortcut", {.in = channels_, .out = to}, false);
    channels_ = to;
    block.second = {.gamma = gamma(name + ".residual.3", 4),
                    .conv = CausalConv(conv(name + ".residual.6", causal(to, to), false))};
    add(name, std::move(block));
  }

  void attention(const std::string& name) {
    const int64_t dim = channels_;
    const std::vector<float> qkv = load_floats(weights_, name + ".to_qkv.weight", {3 * dim, dim, 1, 1});
    const std::vector<float> qkv_bias = load_floats(weights_, name + ".to_qkv.bias", {3 * dim});
    const std::vector<float> proj = load_floats(weights_, name + ".proj.weight", {dim, dim, 1, 1});
    const size_t width = static_cast<size_t>(dim);
    const auto weight = [&](size_t i) {
      return pack_f32(std::span(qkv).subspan(i * width * width, width * width), dim, dim);
    };
    const auto bias = [&](size_t i) {
      const auto part = std::span(qkv_bias).subspan(i * width, width);
      return std::vector<float>(part.begin(), part.end());
    };
    PixelAttention body;
    body.gamma = gamma(name + ".norm", 3);
    body.q = weight(0);
    body.k = weight(1);
    body.v = weight(2);
    body.proj = pack_f32(proj, dim, dim);
    body.q_bias = bias(0);
    body.k_bias = bias(1);
    body.v_bias = bias(2);
    body.proj_bias = load_floats(weights_, name + ".proj.bias", {dim});
    add(name, std::move(body));
  }

  void downsample(const std::string& name) {
    const ConvSpec spec{.in = channels_,
                        .out = channels_,
                        .height = 3,
                        .width = 3,
                        .stride = 2,
                        .pad_after = 1,
                        .bf16 = bf16_};
    Downsample body;
    body.spatial = conv(name + ".resample.1", spec, true);
    out.scale *= 2;
    if (has(name, "time_conv.weight")) {
      body.time = conv(name + ".time_conv", {.in = channels_, .out = channels_, .frames = 3}, false);
      out.frame_scale *= 2;
    }
    add(name, std::move(body));
  }

  void upsample(const std::string& name) {
    Upsample body;
    out.scale *= 2;
    if (has(name, "time_conv.weight")) {
      const ConvSpec spec{.in = channels_, .out = channels_, .frames = 3};
      body.time = CausalConv(conv(name + ".time_conv", spec, false, 2 * channels_, 0),
                             conv(name + ".time_conv", spec, false, 2 * channels_, channels_));
      out.frame_scale *= 2;
    }
    const int64_t to = outputs(name + ".resample.1");
    body.spatial = conv(name + ".resample.1",
                        {.in = channels_,
                         .out = to,
                         .height = 3,
                         .width = 3,
                         .pad_before = 1,
                         .pad_after = 1,
                         .upsample = true,
                         .bf16 = bf16_},
                        true);
    channels_ = to;
    add(name, std::move(body));
  }

  // Modules list.0, list.1, ... while there are any; of which kind each is, its parameters tell.
  void modules(const std::string& list, bool up) {
    for (int64_t i = 0;; ++i) {
      const std::string name = fmt::format("{}.{}", list, i);
      if (has(name, "residual.2.weight")) {
        residual(name);
      } else if (has(name, "to_qkv.weight")) {
        attention(name);
      } else if (has(name, "resample.1.weight")) {
        up ? upsample(name) : downsample(name);
      } else if (i > 0) {
        return;
      } else {
        throw Error({.what = "there is no such module",
                     .where = "\"" + name + "\"",
                     .hint = "this is no whole Wan VAE"});
      }
    }
  }

 private:
  const WeightSource& weights_;
  bool bf16_;
  int64_t channels_ = 3;
};

}  // namespace

VaeBuild build_vae_encoder(const WeightSource& weights, bool bf16) {
  Builder b(weights, bf16);
  b.causal_conv("encoder.conv1");
  b.modules("encoder.downsamples", false);
  b.modules("encoder.middle", false);
  b.head("encoder.head");
  b.out.latent_channels = b.channels() / 2;
  b.pointwise("conv1", b.out.latent_channels);  // the other half is the variance
  return std::move(b.out);
}

VaeBuild build_vae_decoder(const WeightSource& weights, bool bf16) {
  Builder b(weights, bf16);
  b.out.latent_channels = b.outputs("conv2");
  b.set_channels(b.out.latent_channels);
  b.pointwise("conv2");
  b.causal_conv("decoder.conv1");
  b.modules("decoder.middle", true);
  b.modules("decoder.upsamples", true);
  b.head("decoder.head");
  if (b.channels() != 3) {
    throw Error({.what = fmt::format("gives {} channels, expected 3", b.channels()),
                 .where = "\"decoder.head.2.weight\""});
  }
  return std::move(b.out);
}

}  // namespace wanslim
