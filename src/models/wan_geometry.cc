// SPDX-License-Identifier: Apache-2.0
#include "models/wan_geometry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "models/names.h"

namespace wanslim {
namespace {

constexpr int64_t kMaxSize = 1 << 20;  // of any width: far above every model, far below overflow
constexpr int64_t kMaxBlocks = 1024;
constexpr int64_t kHeadSize = 128;

// A tensor of rank `rank` whose extent at `axis` is `times` the field.
struct Source {
  int64_t WanGeometry::*field;
  std::string_view tensor;
  size_t rank, axis;
  int64_t times = 1;
};
constexpr Source kSources[] = {
    {&WanGeometry::dim, "patch_embedding.bias", 1, 0},
    {&WanGeometry::dim, "text_embedding.0.bias", 1, 0},
    {&WanGeometry::dim, "time_embedding.0.bias", 1, 0},
    {&WanGeometry::dim, "head.modulation", 3, 2},
    {&WanGeometry::dim, "blocks.0.norm3.weight", 1, 0},
    {&WanGeometry::ffn_dim, "blocks.0.ffn.0.bias", 1, 0},
    {&WanGeometry::ffn_dim, "blocks.0.ffn.0.weight", 2, 0},
    {&WanGeometry::ffn_dim, "blocks.0.ffn.2.weight", 2, 1},
    {&WanGeometry::in_dim, "patch_embedding.weight", 5, 1},
    {&WanGeometry::out_dim, "head.head.bias", 1, 0, 4},
    {&WanGeometry::out_dim, "head.head.weight", 2, 0, 4},
    {&WanGeometry::text_dim, "text_embedding.0.weight", 2, 1},
    {&WanGeometry::freq_dim, "time_embedding.0.weight", 2, 1},
    {&WanGeometry::image_dim, "img_emb.proj.0.weight", 1, 0},
    {&WanGeometry::image_dim, "img_emb.proj.1.bias", 1, 0},
    {&WanGeometry::image_dim, "img_emb.proj.3.weight", 2, 1},
    {&WanGeometry::image_tokens, "img_emb.emb_pos", 3, 1, 2},
    {&WanGeometry::vace_in_dim, "vace_patch_embedding.weight", 5, 1},
};

// Sets every field that some tensor shows to the value that most of them show, the first of equals.
void vote(const ShapeMap& shapes, WanGeometry& g) {
  struct Vote {
    int64_t value;
    int count;
  };
  for (size_t i = 0; i < std::size(kSources);) {
    const auto field = kSources[i].field;
    std::vector<Vote> votes;
    for (; i < std::size(kSources) && kSources[i].field == field; ++i) {
      const Source& source = kSources[i];
      auto it = shapes.find(source.tensor);
      if (it == shapes.end() || it->second.size() != source.rank) continue;
      const int64_t value = it->second[source.axis] / source.times;
      if (value < 1 || value > kMaxSize) continue;
      auto same = std::find_if(votes.begin(), votes.end(), [&](const Vote& v) { return v.value == value; });
      if (same == votes.end()) same = votes.insert(votes.end(), Vote{value, 0});
      ++same->count;
    }
    auto best = std::max_element(votes.begin(), votes.end(),
                                 [](const Vote& a, const Vote& b) { return a.count < b.count; });
    if (best != votes.end()) g.*field = best->value;
  }
}

// Blocks of `list`: one more than the highest number. Numbers that a checkpoint with so few tensors cannot
// reach are a stray name's, not a block's: they are left out, so that the work stays within the input's size.
int64_t count_blocks(const ShapeMap& shapes, std::string_view list) {
  const int64_t limit = std::min(kMaxBlocks, static_cast<int64_t>(shapes.size()));
  int64_t count = 0;
  for (const auto& [name, shape] : shapes) {
    const auto path = parse_block_path(name);
    if (path && path->list == list && path->index < limit) count = std::max(count, path->index + 1);
  }
  return count;
}

bool any_under(const ShapeMap& shapes, std::string_view text) {
  return std::any_of(shapes.begin(), shapes.end(),
                     [&](const auto& item) { return item.first.find(text) != std::string::npos; });
}

// The base blocks that get the hints of `count` VACE blocks, if they are evenly spaced from block 0: as
// ComfyUI spaces them (layers / count), else every second one (the official default).
std::vector<int64_t> spaced_layers(int64_t count, int64_t layers) {
  for (int64_t stride : {layers / std::max<int64_t>(count, 1), int64_t{2}}) {
    if (stride < 1 || (layers + stride - 1) / stride != count) continue;
    std::vector<int64_t> out;
    for (int64_t i = 0; i < layers; i += stride) out.push_back(i);
    return out;
  }
  return std::vector<int64_t>(static_cast<size_t>(count), kUnknownLayer);
}

}  // namespace

WanGeometry geometry_from_shapes(const ShapeMap& shapes, std::string_view where) {
  WanGeometry g;
  vote(shapes, g);
  g.layers = count_blocks(shapes, "blocks");
  if (g.dim == 0 || g.ffn_dim == 0 || g.layers == 0) {
    throw Error({.what = "these are not the tensors of a Wan2.1 transformer",
                 .where = std::string(where),
                 .hint =
                     "give the transformer's weights (diffusion_pytorch_model*.safetensors), not those of "
                     "the text encoder or the VAE"});
  }
  g.heads = g.dim % kHeadSize == 0 ? g.dim / kHeadSize : 0;
  g.has_image_condition = any_under(shapes, "img_emb.proj.") || any_under(shapes, ".cross_attn.k_img.");
  g.has_image_position = shapes.count("img_emb.emb_pos") > 0;
  g.vace_layers = spaced_layers(count_blocks(shapes, "vace_blocks"), g.layers);
  return g;
}

void check_geometry(const WanGeometry& g, std::string_view where) {
  const std::string hint = "put the checkpoint's config.json beside it";
  if (g.heads == 0) {
    throw Error({.what = fmt::format("the number of heads cannot be told from the width {}, which is no "
                                     "multiple of {}",
                                     g.dim, kHeadSize),
                 .where = std::string(where),
                 .hint = hint});
  }
  if (g.dim % g.heads != 0 || g.dim / g.heads % 2 != 0) {
    throw Error(
        {.what = fmt::format("a width of {} does not split into {} heads of even size", g.dim, g.heads),
         .where = std::string(where)});
  }
  if (std::count(g.vace_layers.begin(), g.vace_layers.end(), kUnknownLayer) > 0) {
    throw Error({.what = fmt::format("the tensors do not tell which of the {} blocks the {} VACE blocks "
                                     "belong to",
                                     g.layers, g.vace_layers.size()),
                 .where = std::string(where),
                 .hint = hint});
  }
}

}  // namespace wanslim
