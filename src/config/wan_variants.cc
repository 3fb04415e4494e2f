// SPDX-License-Identifier: Apache-2.0
#include "config/wan_variants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/spelling.h"

namespace wanslim {
namespace {

std::vector<int64_t> every(int64_t stride, int64_t layers) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < layers; i += stride) out.push_back(i);
  return out;
}

const WanGeometry kSmall{.dim = 1536, .ffn_dim = 8960, .heads = 12, .layers = 30};
const WanGeometry kLarge{.dim = 5120, .ffn_dim = 13824, .heads = 40, .layers = 40};
const WanGeometry kTiny{.dim = 128, .ffn_dim = 512, .heads = 1, .layers = 2, .text_dim = 64, .text_len = 16};

WanGeometry with_image(WanGeometry g, bool first_and_last) {
  g.in_dim = 36;
  g.has_image_condition = true;
  g.has_image_position = first_and_last;
  return g;
}

WanGeometry with_vace(WanGeometry g, int64_t stride) {
  g.vace_layers = every(stride, g.layers);
  return g;
}

const std::vector<WanVariant>& table() {
  static const std::vector<WanVariant> kTable = {
      {"t2v-1.3B", "t2v", kSmall},
      {"t2v-14B", "t2v", kLarge},
      {"i2v-14B-480P", "i2v", with_image(kLarge, false)},
      {"i2v-14B-720P", "i2v", with_image(kLarge, false)},
      {"flf2v-14B-720P", "flf2v", with_image(kLarge, true)},
      {"vace-1.3B", "vace", with_vace(kSmall, 2)},
      {"vace-14B", "vace", with_vace(kLarge, 5)},
      {"tiny", "t2v", kTiny},
  };
  return kTable;
}

}  // namespace

std::span<const WanVariant> wan_variants() {
  return table();
}

const WanVariant& wan_variant(std::string_view name) {
  std::vector<std::string> known;
  for (const WanVariant& row : table()) {
    if (row.name == name) return row;
    known.emplace_back(row.name);
  }
  throw Error({.what = fmt::format("unknown variant \"{}\"{}", name, did_you_mean(name, known)),
               .hint = fmt::format("the variants are {}", fmt::join(known, ", ")),
               .kind = Error::Kind::kUsage});
}

std::string_view model_type(const WanGeometry& g) {
  if (!g.vace_layers.empty()) return "vace";
  if (g.has_image_position) return "flf2v";
  return g.has_image_condition ? "i2v" : "t2v";
}

std::string variant_name(const WanGeometry& g) {
  for (const WanVariant& row : table()) {
    WanGeometry same_depth = row.geometry;
    same_depth.layers = g.layers;
    WanGeometry mine = g;
    mine.text_len = row.geometry.text_len;
    if (!g.vace_layers.empty() && !same_depth.vace_layers.empty()) mine.vace_layers = same_depth.vace_layers;
    if (mine == same_depth) return std::string(row.name);
  }
  return "custom";
}

std::string config_json_text(const WanGeometry& g) {
  Json j;
  j["_class_name"] = g.vace_layers.empty() ? "WanModel" : "VaceWanModel";
  j["_diffusers_version"] = "0.30.0";
  j["dim"] = g.dim;
  j["eps"] = g.eps;
  j["ffn_dim"] = g.ffn_dim;
  j["freq_dim"] = g.freq_dim;
  j["in_dim"] = g.in_dim;
  j["model_type"] = model_type(g);
  j["num_heads"] = g.heads;
  j["num_layers"] = g.layers;
  j["out_dim"] = g.out_dim;
  j["text_len"] = g.text_len;
  if (!g.vace_layers.empty()) {
    j["vace_layers"] = g.vace_layers;
    j["vace_in_dim"] = g.vace_in_dim;
  }
  return j.dump(2) + "\n";
}

std::string diffusers_config_json_text(const WanGeometry& g) {
  const bool vace = !g.vace_layers.empty();
  Json j;
  j["_class_name"] = vace ? "WanVACETransformer3DModel" : "WanTransformer3DModel";
  j["_diffusers_version"] = "0.33.1";
  j["patch_size"] = {1, 2, 2};
  j["num_attention_heads"] = g.heads;
  j["attention_head_dim"] = g.dim / g.heads;
  j["in_channels"] = g.in_dim;
  j["out_channels"] = g.out_dim;
  j["text_dim"] = g.text_dim;
  j["freq_dim"] = g.freq_dim;
  j["ffn_dim"] = g.ffn_dim;
  j["num_layers"] = g.layers;
  j["cross_attn_norm"] = true;
  j["qk_norm"] = "rms_norm_across_heads";
  j["eps"] = g.eps;
  j["image_dim"] = g.has_image_condition ? Json(g.image_dim) : Json();
  j["added_kv_proj_dim"] = g.has_image_condition ? Json(g.dim) : Json();
  j["rope_max_seq_len"] = 1024;
  if (g.has_image_position) j["pos_embed_seq_len"] = 2 * g.image_tokens;
  if (vace) {
    j["vace_layers"] = g.vace_layers;
    j["vace_in_channels"] = g.vace_in_dim;
  }
  return j.dump(2) + "\n";
}

}  // namespace wanslim
