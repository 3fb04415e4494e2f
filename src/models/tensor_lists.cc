// SPDX-License-Identifier: Apache-2.0
#include "models/tensor_lists.h"

#include <fmt/format.h>

namespace wanslim {
namespace {

struct List {
  std::vector<NamedShape> out;

  void add(std::string name, Shape shape) { out.push_back({std::move(name), std::move(shape)}); }
  void conv(const std::string& name, Shape weight) {
    const int64_t outputs = weight[0];
    add(name + ".weight", std::move(weight));
    add(name + ".bias", {outputs});
  }
  void linear(const std::string& name, int64_t outputs, int64_t inputs) { conv(name, {outputs, inputs}); }
  void norm(const std::string& name, int64_t width) {
    add(name + ".weight", {width});
    add(name + ".bias", {width});
  }
  void residual(const std::string& name, int64_t from, int64_t to) {
    add(name + ".residual.0.gamma", {from, 1, 1, 1});
    conv(name + ".residual.2", {to, from, 3, 3, 3});
    add(name + ".residual.3.gamma", {to, 1, 1, 1});
    conv(name + ".residual.6", {to, to, 3, 3, 3});
    if (from != to) conv(name + ".shortcut", {to, from, 1, 1, 1});
  }
  void middle(const std::string& name, int64_t width) {
    residual(name + ".0", width, width);
    add(name + ".1.norm.gamma", {width, 1, 1});
    conv(name + ".1.to_qkv", {3 * width, width, 1, 1});
    conv(name + ".1.proj", {width, width, 1, 1});
    residual(name + ".2", width, width);
  }
  void head(const std::string& name, int64_t from, int64_t to) {
    add(name + ".0.gamma", {from, 1, 1, 1});
    conv(name + ".2", {to, from, 3, 3, 3});
  }
};

constexpr int64_t kStages = 4, kWidths[kStages] = {1, 2, 4, 4};  // times dim
constexpr bool kTime[kStages - 1] = {false, true, true};  // resamplings of the encoder that halve the frames

void encoder(List& list, int64_t dim, int64_t latent) {
  list.conv("encoder.conv1", {dim, 3, 3, 3, 3});
  int64_t index = 0, width = dim;
  for (int64_t stage = 0; stage < kStages; ++stage) {
    for (int64_t block = 0; block < 2; ++block) {
      list.residual(fmt::format("encoder.downsamples.{}", index++), width, kWidths[stage] * dim);
      width = kWidths[stage] * dim;
    }
    if (stage + 1 == kStages) break;
    const std::string name = fmt::format("encoder.downsamples.{}", index++);
    list.conv(name + ".resample.1", {width, width, 3, 3});
    if (kTime[stage]) list.conv(name + ".time_conv", {width, width, 3, 1, 1});
  }
  list.middle("encoder.middle", width);
  list.head("encoder.head", width, 2 * latent);
}

void decoder(List& list, int64_t dim, int64_t latent) {
  int64_t index = 0, width = kWidths[kStages - 1] * dim;
  list.conv("decoder.conv1", {width, latent, 3, 3, 3});
  list.middle("decoder.middle", width);
  for (int64_t stage = kStages - 1; stage >= 0; --stage) {
    for (int64_t block = 0; block < 3; ++block) {
      list.residual(fmt::format("decoder.upsamples.{}", index++), width, kWidths[stage] * dim);
      width = kWidths[stage] * dim;
    }
    if (stage == 0) break;
    const std::string name = fmt::format("decoder.upsamples.{}", index++);
    list.conv(name + ".resample.1", {width / 2, width, 3, 3});
    if (kTime[stage - 1]) list.conv(name + ".time_conv", {2 * width, width, 3, 1, 1});
    width /= 2;
  }
  list.head("decoder.head", width, 3);
}

}  // namespace

std::vector<NamedShape> vae_tensors(int64_t dim, int64_t latent_channels) {
  List list;
  encoder(list, dim, latent_channels);
  list.conv("conv1", {2 * latent_channels, 2 * latent_channels, 1, 1, 1});
  list.conv("conv2", {latent_channels, latent_channels, 1, 1, 1});
  decoder(list, dim, latent_channels);
  return std::move(list.out);
}

std::vector<NamedShape> clip_tensors(const ClipSizes& sizes) {
  List list;
  const int64_t dim = 80 * sizes.heads, across = sizes.image / sizes.patch;
  list.add("visual.patch_embedding.weight", {dim, 3, sizes.patch, sizes.patch});
  list.add("visual.cls_embedding", {1, 1, dim});
  list.add("visual.pos_embedding", {1, across * across + 1, dim});
  list.norm("visual.pre_norm", dim);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const std::string name = fmt::format("visual.transformer.{}", i);
    list.norm(name + ".norm1", dim);
    list.linear(name + ".attn.to_qkv", 3 * dim, dim);
    list.linear(name + ".attn.proj", dim, dim);
    list.norm(name + ".norm2", dim);
    list.linear(name + ".mlp.0", sizes.mlp, dim);
    list.linear(name + ".mlp.2", dim, sizes.mlp);
  }
  return std::move(list.out);
}

}  // namespace wanslim
