// SPDX-License-Identifier: Apache-2.0
#include "models/umt5_names.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace wanslim {
namespace {

using Extent = int64_t Umt5Geometry::*;

struct Row {
  std::string_view name;  // of a block: behind "blocks.N."
  TensorRole role;
  Extent out, in;  // null: no such dimension
};

constexpr Extent kNone = nullptr, kDim = &Umt5Geometry::dim, kAttention = &Umt5Geometry::attention_dim,
                 kFfn = &Umt5Geometry::ffn_dim, kVocabulary = &Umt5Geometry::vocabulary,
                 kBuckets = &Umt5Geometry::buckets, kHeads = &Umt5Geometry::heads;
constexpr TensorRole kLinear = TensorRole::kLinearWeight, kNorm = TensorRole::kNormWeight,
                     kTable = TensorRole::kEmbedding;

constexpr Row kOutside[] = {
    {"token_embedding", kTable, kVocabulary, kDim},
    {"norm", kNorm, kDim, kNone},
};

constexpr Row kBlock[] = {
    {"norm1", kNorm, kDim, kNone},         {"attn.q", kLinear, kAttention, kDim},
    {"attn.k", kLinear, kAttention, kDim}, {"attn.v", kLinear, kAttention, kDim},
    {"attn.o", kLinear, kDim, kAttention}, {"norm2", kNorm, kDim, kNone},
    {"ffn.gate.0", kLinear, kFfn, kDim},   {"ffn.fc1", kLinear, kFfn, kDim},
    {"ffn.fc2", kLinear, kDim, kFfn},      {"pos_embedding.embedding", kTable, kBuckets, kHeads},
};

TensorSpec spec_of(const Row& row, const Umt5Geometry& geometry, int64_t block) {
  const std::string unit = block < 0 ? "" : fmt::format("blocks.{}", block);
  const std::string layer = (block < 0 ? "" : unit + ".") + std::string(row.name);
  TensorSpec spec{.name = layer + ".weight",
                  .shape = {geometry.*row.out},
                  .layer = layer,
                  .role = row.role,
                  .unit = unit,
                  .block = block};
  if (row.in != kNone) spec.shape.push_back(geometry.*row.in);
  return spec;
}

// Shape of a tensor with `rank` dimensions.
Shape shape_of(const WeightSource& weights, const std::string& name, size_t rank) {
  if (!weights.has(name))
    throw Error({.what = fmt::format("the tensor \"{}\" is missing", name),
                 .where = "umT5 text encoder",
                 .hint = "give models_t5_umt5-xxl-enc-bf16.pth of the checkpoint"});
  Shape shape = weights.shape(name);
  if (shape.size() != rank)
    throw Error(
        {.what = fmt::format("\"{}\" has shape {}, expected {} dimensions", name, to_string(shape), rank),
         .where = "umT5 text encoder"});
  return shape;
}

}  // namespace

Umt5Geometry umt5_geometry(const WeightSource& weights) {
  Umt5Geometry g;
  const Shape tokens = shape_of(weights, "token_embedding.weight", 2);
  const Shape positions = shape_of(weights, "blocks.0.pos_embedding.embedding.weight", 2);
  g = {.vocabulary = tokens[0],
       .dim = tokens[1],
       .attention_dim = shape_of(weights, "blocks.0.attn.q.weight", 2)[0],
       .ffn_dim = shape_of(weights, "blocks.0.ffn.fc1.weight", 2)[0],
       .heads = positions[1],
       .layers = 0,
       .buckets = positions[0]};
  while (weights.has(fmt::format("blocks.{}.norm1.weight", g.layers))) ++g.layers;
  const bool whole = g.vocabulary > 0 && g.dim > 0 && g.heads > 0 && g.attention_dim > 0 && g.ffn_dim > 0 &&
                     g.layers > 0 && g.attention_dim % g.heads == 0 && g.buckets >= 4 && g.buckets % 4 == 0;
  if (!whole) {
    throw Error({.what = fmt::format("sizes do not fit: {} heads in {}, {} position buckets, {} blocks",
                                     g.heads, g.attention_dim, g.buckets, g.layers),
                 .where = "umT5 text encoder"});
  }
  for (const TensorSpec& spec : umt5_tensor_specs(g)) {
    const Shape got = shape_of(weights, spec.name, spec.shape.size());
    if (got != spec.shape) {
      throw Error({.what = fmt::format("\"{}\" has shape {}, expected {}", spec.name, to_string(got),
                                       to_string(spec.shape)),
                   .where = "umT5 text encoder"});
    }
  }
  return g;
}

std::vector<TensorSpec> umt5_tensor_specs(const Umt5Geometry& geometry) {
  std::vector<TensorSpec> out = {spec_of(kOutside[0], geometry, -1)};
  for (int64_t block = 0; block < geometry.layers; ++block) {
    for (const Row& row : kBlock) out.push_back(spec_of(row, geometry, block));
  }
  out.push_back(spec_of(kOutside[1], geometry, -1));
  return out;
}

std::optional<Umt5Naming> detect_umt5_naming(std::span<const StoredTensor> tensors) {
  for (const Umt5Naming naming : {Umt5Naming::kOfficial, Umt5Naming::kTransformers, Umt5Naming::kGguf}) {
    const std::string wanted = *umt5_name_in(naming, std::string(kOutside[0].name) + ".weight");
    const bool found =
        std::any_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == wanted; });
    if (found) return naming;
  }
  return std::nullopt;
}

}  // namespace wanslim
