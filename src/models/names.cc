// SPDX-License-Identifier: Apache-2.0
#include "models/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/spelling.h"

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

// One module with parameters, in the order of named_modules, and what diffusers calls it.
struct ModuleRow {
  std::string_view official, diffusers;
  Kind kind;
  Extent out, in = {};
  When when = When::kAlways;
};

constexpr ModuleRow kBlockModules[] = {
    {"modulation", "scale_shift_table", Kind::kModulation, kDim, kSix},
    {"self_attn.q", "attn1.to_q", Kind::kLinear, kDim, kDim},
    {"self_attn.k", "attn1.to_k", Kind::kLinear, kDim, kDim},
    {"self_attn.v", "attn1.to_v", Kind::kLinear, kDim, kDim},
    {"self_attn.o", "attn1.to_out.0", Kind::kLinear, kDim, kDim},
    {"self_attn.norm_q", "attn1.norm_q", Kind::kRmsNorm, kDim},
    {"self_attn.norm_k", "attn1.norm_k", Kind::kRmsNorm, kDim},
    {"norm3", "norm2", Kind::kLayerNorm, kDim},
    {"cross_attn.q", "attn2.to_q", Kind::kLinear, kDim, kDim},
    {"cross_attn.k", "attn2.to_k", Kind::kLinear, kDim, kDim},
    {"cross_attn.v", "attn2.to_v", Kind::kLinear, kDim, kDim},
    {"cross_attn.o", "attn2.to_out.0", Kind::kLinear, kDim, kDim},
    {"cross_attn.norm_q", "attn2.norm_q", Kind::kRmsNorm, kDim},
    {"cross_attn.norm_k", "attn2.norm_k", Kind::kRmsNorm, kDim},
    {"cross_attn.k_img", "attn2.add_k_proj", Kind::kLinear, kDim, kDim, When::kImage},
    {"cross_attn.v_img", "attn2.add_v_proj", Kind::kLinear, kDim, kDim, When::kImage},
    {"cross_attn.norm_k_img", "attn2.norm_added_k", Kind::kRmsNorm, kDim, {}, When::kImage},
    {"ffn.0", "ffn.net.0.proj", Kind::kLinear, kFfn, kDim},
    {"ffn.2", "ffn.net.2", Kind::kLinear, kDim, kFfn},
    {"before_proj", "proj_in", Kind::kLinear, kDim, kDim, When::kVaceFirst},
    {"after_proj", "proj_out", Kind::kLinear, kDim, kDim, When::kVace},
};

constexpr ModuleRow kRootModules[] = {
    {"patch_embedding", "patch_embedding", Kind::kPatch, kDim, kIn},
    {"text_embedding.0", "condition_embedder.text_embedder.linear_1", Kind::kLinear, kDim, kText},
    {"text_embedding.2", "condition_embedder.text_embedder.linear_2", Kind::kLinear, kDim, kDim},
    {"time_embedding.0", "condition_embedder.time_embedder.linear_1", Kind::kLinear, kDim, kFreq},
    {"time_embedding.2", "condition_embedder.time_embedder.linear_2", Kind::kLinear, kDim, kDim},
    {"time_projection.1", "condition_embedder.time_proj", Kind::kLinear, kDim6, kDim},
    {"head.modulation", "scale_shift_table", Kind::kModulation, kDim, kTwo},
    {"head.head", "proj_out", Kind::kLinear, kPatchOut, kDim},
    {"img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed", Kind::kPosition, kImage, kImageRows,
     When::kImagePosition},
    {"img_emb.proj.0", "condition_embedder.image_embedder.norm1", Kind::kLayerNorm, kImage, {}, When::kImage},
    {"img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj", Kind::kLinear, kImage, kImage,
     When::kImage},
    {"img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2", Kind::kLinear, kDim, kImage,
     When::kImage},
    {"img_emb.proj.4", "condition_embedder.image_embedder.norm2", Kind::kLayerNorm, kDim, {}, When::kImage},
    {"vace_patch_embedding", "vace_patch_embedding", Kind::kPatch, kDim, kVaceIn, When::kVace},
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

// How a scheme spells names: a prefix before everything, and which column of the tables.
struct NamingRow {
  Naming naming;
  std::string_view name, prefix;
  std::string_view ModuleRow::*column;
};
constexpr NamingRow kNamings[] = {
    {Naming::kOfficial, "official", "", &ModuleRow::official},
    {Naming::kDiffusers, "diffusers", "", &ModuleRow::diffusers},
    {Naming::kComfyUi, "comfyui", "model.diffusion_model.", &ModuleRow::official},
};

const NamingRow& row_of(Naming naming) {
  return kNamings[static_cast<size_t>(naming)];
}

bool is_under(std::string_view name, std::string_view path) {
  return name.starts_with(path) && (name.size() == path.size() || name[path.size()] == '.');
}

// A name taken apart by the tables of one scheme.
struct Parsed {
  const ModuleRow* row = nullptr;  // null: no module is called so
  std::optional<BlockPath> block;
  std::string_view rest;  // what follows the module's path
};

Parsed parse(std::string_view name, const NamingRow& scheme) {
  if (!name.starts_with(scheme.prefix)) return {};
  name.remove_prefix(scheme.prefix.size());
  Parsed out;
  out.block = parse_block_path(name);
  if (out.block) name = out.block->rest;
  for (const ModuleRow& row : out.block ? std::span<const ModuleRow>(kBlockModules) : kRootModules) {
    if (!is_under(name, row.*scheme.column)) continue;
    out.row = &row;
    out.rest = name.substr((row.*scheme.column).size());
    break;
  }
  return out;
}

// `name` with the module's path replaced, from the spelling of one scheme to that of another.
std::optional<std::string> translate(std::string_view name, const NamingRow& from, const NamingRow& to) {
  const Parsed parsed = parse(name, from);
  if (!parsed.row) return std::nullopt;
  std::string out(to.prefix);
  if (parsed.block) out += fmt::format("{}.{}.", parsed.block->list, parsed.block->index);
  out += parsed.row->*to.column;
  return out += parsed.rest;
}

}  // namespace

std::vector<TensorSpec> tensor_specs(const WanGeometry& g) {
  std::vector<TensorSpec> specs;
  append_blocks(kBlocks, g.layers, g, specs);
  append_blocks(kVaceBlocks, static_cast<int64_t>(g.vace_layers.size()), g, specs);
  append(kRootModules, g, TensorSpec{}, specs);
  return specs;
}

std::string_view name_of(Naming naming) {
  return row_of(naming).name;
}

Naming naming_from_name(std::string_view name) {
  std::vector<std::string> known;
  for (const NamingRow& row : kNamings) {
    if (row.name == name) return row.naming;
    known.emplace_back(row.name);
  }
  throw Error({.what = fmt::format("unknown naming \"{}\"{}", printable(name), did_you_mean(name, known)),
               .hint = fmt::format("the namings are {}", fmt::join(known, ", ")),
               .kind = Error::Kind::kUsage});
}

Naming detect_naming(std::span<const std::string> names) {
  std::array<size_t, std::size(kNamings)> hits{};
  for (const std::string& name : names) {
    for (size_t i = 0; i < hits.size(); ++i) hits[i] += parse(name, kNamings[i]).row != nullptr;
  }
  return kNamings[std::max_element(hits.begin(), hits.end()) - hits.begin()].naming;
}

std::optional<std::string> official_name(Naming naming, std::string_view name) {
  return translate(name, row_of(naming), row_of(Naming::kOfficial));
}

std::optional<std::string> name_in(Naming naming, std::string_view official) {
  return translate(official, row_of(Naming::kOfficial), row_of(naming));
}

std::optional<BlockPath> parse_block_path(std::string_view name) {
  for (const std::string_view list : {kBlocks, kVaceBlocks}) {
    if (!name.starts_with(list) || name.size() <= list.size() || name[list.size()] != '.') continue;
    const std::string_view tail = name.substr(list.size() + 1);
    const size_t digits = std::min(tail.find_first_not_of("0123456789"), tail.size());
    if (digits == 0 || digits > 6 || digits + 1 >= tail.size() || tail[digits] != '.') return std::nullopt;
    if (digits > 1 && tail[0] == '0') return std::nullopt;
    int64_t index = 0;
    for (char c : tail.substr(0, digits)) index = index * 10 + (c - '0');
    return BlockPath{.list = name.substr(0, list.size()), .index = index, .rest = tail.substr(digits + 1)};
  }
  return std::nullopt;
}

}  // namespace wanslim
