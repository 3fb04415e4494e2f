// SPDX-License-Identifier: Apache-2.0
#include "models/names.h"

#include <fmt/format.h>

namespace wanslim {
namespace {

// A size as a multiple of a field of the geometry, or a plain number.
struct Extent {
  int64_t WanGeometry::*field = nullptr;
  int64_t times = 1;
  int64_t of(const WanGeometry& g) const { return field ? g.*field * times : times; }
};
constexpr Extent kDim{&WanGeometry::dim}, kDim6{&WanGeometry::dim, 6}, kFfn{&WanGeometry::ffn_dim};
constexpr Extent kIn{&WanGeometry::in_dim}, kPatchOut{&WanGeometry::out_dim, 4},
    kText{&WanGeometry::text_dim};
constexpr Extent kFreq{&WanGeometry::freq_dim}, kImage{&WanGeometry::image_dim};
constexpr Extent kImageRows{&WanGeometry::image_tokens, 2}, kVaceIn{&WanGeometry::vace_in_dim};
constexpr Extent kSix{nullptr, 6}, kTwo{nullptr, 2};

enum class Kind : uint8_t {
  kLinear,      // weight [out, in], bias [out]
  kPatch,       // weight [out, in, 1, 2, 2], bias [out]
  kLayerNorm,   // weight, bias [out]
  kRmsNorm,     // weight [out]
  kModulation,  // the parameter itself: [1, in, out]
  kPosition,    // the parameter itself: [1, in, out]
};

// Which transformers, and which of their blocks, have the module.
enum class When : uint8_t { kAlways, kImage, kImagePosition, kVace, kVaceFirst };

// One module with parameters, in the order of named_modules. Other spellings: config/wan_names.cc.
struct ModuleRow {
  std::string_view official;
  Kind kind;
  Extent out, in = {};
  When when = When::kAlways;
};

constexpr ModuleRow kBlockModules[] = {
    {"modulation", Kind::kModulation, kDim, kSix},
    {"self_attn.q", Kind::kLinear, kDim, kDim},
    {"self_attn.k", Kind::kLinear, kDim, kDim},
    {"self_attn.v", Kind::kLinear, kDim, kDim},
    {"self_attn.o", Kind::kLinear, kDim, kDim},
    {"self_attn.norm_q", Kind::kRmsNorm, kDim},
    {"self_attn.norm_k", Kind::kRmsNorm, kDim},
    {"norm3", Kind::kLayerNorm, kDim},
    {"cross_attn.q", Kind::kLinear, kDim, kDim},
    {"cross_attn.k", Kind::kLinear, kDim, kDim},
    {"cross_attn.v", Kind::kLinear, kDim, kDim},
    {"cross_attn.o", Kind::kLinear, kDim, kDim},
    {"cross_attn.norm_q", Kind::kRmsNorm, kDim},
    {"cross_attn.norm_k", Kind::kRmsNorm, kDim},
    {"cross_attn.k_img", Kind::kLinear, kDim, kDim, When::kImage},
    {"cross_attn.v_img", Kind::kLinear, kDim, kDim, When::kImage},
    {"cross_attn.norm_k_img", Kind::kRmsNorm, kDim, {}, When::kImage},
    {"ffn.0", Kind::kLinear, kFfn, kDim},
    {"ffn.2", Kind::kLinear, kDim, kFfn},
    {"before_proj", Kind::kLinear, kDim, kDim, When::kVaceFirst},
    {"after_proj", Kind::kLinear, kDim, kDim, When::kVace},
};

constexpr ModuleRow kRootModules[] = {
    {"patch_embedding", Kind::kPatch, kDim, kIn},
    {"text_embedding.0", Kind::kLinear, kDim, kText},
    {"text_embedding.2", Kind::kLinear, kDim, kDim},
    {"time_embedding.0", Kind::kLinear, kDim, kFreq},
    {"time_embedding.2", Kind::kLinear, kDim, kDim},
    {"time_projection.1", Kind::kLinear, kDim6, kDim},
    {"head.modulation", Kind::kModulation, kDim, kTwo},
    {"head.head", Kind::kLinear, kPatchOut, kDim},
    {"img_emb.emb_pos", Kind::kPosition, kImage, kImageRows, When::kImagePosition},
    {"img_emb.proj.0", Kind::kLayerNorm, kImage, {}, When::kImage},
    {"img_emb.proj.1", Kind::kLinear, kImage, kImage, When::kImage},
    {"img_emb.proj.3", Kind::kLinear, kDim, kImage, When::kImage},
    {"img_emb.proj.4", Kind::kLayerNorm, kDim, {}, When::kImage},
    {"vace_patch_embedding", Kind::kPatch, kDim, kVaceIn, When::kVace},
};

constexpr std::string_view kBlocks = "blocks", kVaceBlocks = "vace_blocks";

// vace_blocks are text-to-video blocks with projections around them.
bool applies(When when, const WanGeometry& g, const TensorSpec& place) {
  switch (when) {
    case When::kAlways:
      return true;
    case When::kImage:
      return g.has_image_condition && !place.vace;
    case When::kImagePosition:
      return g.has_image_position;
    case When::kVace:
      return place.in_block() ? place.vace : !g.vace_layers.empty();
    case When::kVaceFirst:
      return place.vace && place.block == 0;
  }
  return false;
}

struct TensorRow {
  std::string_view suffix;
  TensorRole role;
  Shape shape;
};

std::vector<TensorRow> tensors_of(const ModuleRow& row, const WanGeometry& g) {
  const int64_t out = row.out.of(g), in = row.in.of(g);
  switch (row.kind) {
    case Kind::kLinear:
      return {{".weight", TensorRole::kLinearWeight, {out, in}}, {".bias", TensorRole::kLinearBias, {out}}};
    case Kind::kPatch:
      return {{".weight", TensorRole::kConvWeight, {out, in, 1, 2, 2}},
              {".bias", TensorRole::kConvBias, {out}}};
    case Kind::kLayerNorm:
      return {{".weight", TensorRole::kNormWeight, {out}}, {".bias", TensorRole::kNormBias, {out}}};
    case Kind::kRmsNorm:
      return {{".weight", TensorRole::kNormWeight, {out}}};
    case Kind::kModulation:
      return {{"", TensorRole::kModulation, {1, in, out}}};
    case Kind::kPosition:
      return {{"", TensorRole::kPosition, {1, in, out}}};
  }
  return {};
}

// Appends the tensors of `rows` at `place` (unit, block and vace filled in).
void append(std::span<const ModuleRow> rows, const WanGeometry& g, const TensorSpec& place,
            std::vector<TensorSpec>& specs) {
  const std::string prefix = place.unit.empty() ? "" : place.unit + ".";
  for (const ModuleRow& row : rows) {
    if (!applies(row.when, g, place)) continue;
    const std::string path = prefix + std::string(row.official);
    for (TensorRow& tensor : tensors_of(row, g)) {
      TensorSpec spec = place;
      spec.name = path + std::string(tensor.suffix);
      // A bare parameter belongs to the module above it.
      spec.layer = tensor.suffix.empty() ? path.substr(0, path.rfind('.')) : path;
      spec.shape = std::move(tensor.shape);
      spec.role = tensor.role;
      specs.push_back(std::move(spec));
    }
  }
}

void append_blocks(std::string_view list, int64_t count, const WanGeometry& g,
                   std::vector<TensorSpec>& specs) {
  for (int64_t i = 0; i < count; ++i) {
    TensorSpec place;
    place.unit = fmt::format("{}.{}", list, i);
    place.block = i;
    place.vace = list == kVaceBlocks;
    append(kBlockModules, g, place, specs);
  }
}

}  // namespace

std::vector<TensorSpec> tensor_specs(const WanGeometry& g) {
  std::vector<TensorSpec> specs;
  append_blocks(kBlocks, g.layers, g, specs);
  append_blocks(kVaceBlocks, static_cast<int64_t>(g.vace_layers.size()), g, specs);
  append(kRootModules, g, TensorSpec{}, specs);
  return specs;
}

}  // namespace wanslim
