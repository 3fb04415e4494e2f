// SPDX-License-Identifier: Apache-2.0
#include "models/clip_names.h"

#include <fmt/format.h>

#include "base/error.h"

namespace wanslim {
namespace {

Shape shape_of(const WeightSource& weights, const std::string& name, size_t rank) {
  const Shape shape = weights.has(name) ? weights.shape(name) : Shape();
  if (shape.size() == rank) return shape;
  throw Error({.what = weights.has(name) ? fmt::format("\"{}\" has shape {}, expected {} dimensions", name,
                                                       to_string(shape), rank)
                                         : fmt::format("the tensor \"{}\" is missing", name),
               .where = "CLIP visual encoder",
               .hint = "give models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth of the checkpoint"});
}

}  // namespace

ClipGeometry clip_geometry(const WeightSource& weights) {
  const Shape patch = shape_of(weights, "visual.patch_embedding.weight", 4);
  ClipGeometry g{.dim = patch[0],
                 .mlp_dim = shape_of(weights, "visual.transformer.0.mlp.0.weight", 2)[0],
                 .layers = 0,
                 .patch = patch[2],
                 .tokens = shape_of(weights, "visual.pos_embedding", 3)[1],
                 .out_dim = weights.has("visual.head") ? shape_of(weights, "visual.head", 2)[1] : 0};
  while (weights.has(fmt::format("visual.transformer.{}.norm1.weight", g.layers))) ++g.layers;
  return g;
}

std::vector<TensorSpec> clip_tensor_specs(const ClipGeometry& g) {
  std::vector<TensorSpec> out;
  const auto add = [&](const std::string& layer, const char* part, Shape shape, TensorRole role,
                       int64_t block) {
    out.push_back({.name = layer + part,
                   .shape = std::move(shape),
                   .layer = layer,
                   .role = role,
                   .unit = block < 0 ? "" : fmt::format("visual.transformer.{}", block),
                   .block = block});
  };
  const auto norm = [&](const std::string& layer, int64_t block) {
    add(layer, ".weight", {g.dim}, TensorRole::kNormWeight, block);
    add(layer, ".bias", {g.dim}, TensorRole::kNormBias, block);
  };
  const auto linear = [&](const std::string& layer, int64_t rows, int64_t columns, int64_t block) {
    add(layer, ".weight", {rows, columns}, TensorRole::kLinearWeight, block);
    add(layer, ".bias", {rows}, TensorRole::kLinearBias, block);
  };
  for (int64_t i = 0; i < g.layers; ++i) {
    const std::string prefix = fmt::format("visual.transformer.{}.", i);
    norm(prefix + "norm1", i);
    linear(prefix + "attn.to_qkv", 3 * g.dim, g.dim, i);
    linear(prefix + "attn.proj", g.dim, g.dim, i);
    norm(prefix + "norm2", i);
    linear(prefix + "mlp.0", g.mlp_dim, g.dim, i);
    linear(prefix + "mlp.2", g.dim, g.mlp_dim, i);
  }
  add("visual.patch_embedding", ".weight", {g.dim, 3, g.patch, g.patch}, TensorRole::kConvWeight, -1);
  add("visual.cls_embedding", "", {1, 1, g.dim}, TensorRole::kEmbedding, -1);
  add("visual.pos_embedding", "", {1, g.tokens, g.dim}, TensorRole::kPosition, -1);
  norm("visual.pre_norm", -1);
  norm("visual.post_norm", -1);
  if (g.out_dim > 0) add("visual.head", "", {g.dim, g.out_dim}, TensorRole::kEmbedding, -1);
  return out;
}

}  // namespace wanslim
