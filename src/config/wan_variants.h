// SPDX-License-Identifier: Apache-2.0
// The Wan2.1 transformer variants as data: one row each. Code branches on the facts of a geometry
// (has_image_condition), never on a variant's name. Source: spec wan-forward A1.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace wanslim {

// Sizes of one transformer; what config.json says, or what its tensors show.
struct WanGeometry {
  int64_t dim = 0, ffn_dim = 0, heads = 0, layers = 0;
  int64_t in_dim = 16, out_dim = 16;
  int64_t text_dim = 4096, freq_dim = 256, text_len = 512;
  int64_t image_dim = 1280;               // CLIP width; counts only with has_image_condition
  bool has_image_condition = false;       // img_emb, k_img, v_img, norm_k_img
  bool has_image_position = false;        // img_emb.emb_pos: first and last frame
  int64_t image_tokens = 257;             // rows of CLIP output per image; emb_pos has two images' rows
  std::vector<int64_t> vace_layers = {};  // base blocks that get a hint; empty: no VACE part
  int64_t vace_in_dim = 96;
  double eps = 1e-6;
  bool operator==(const WanGeometry&) const = default;
};

struct WanVariant {
  std::string_view name;        // "t2v-1.3B"
  std::string_view model_type;  // of config.json: t2v, i2v, flf2v, vace
  WanGeometry geometry;
};

std::span<const WanVariant> wan_variants();

// The variant with this name, or Error with the nearest spelling.
const WanVariant& wan_variant(std::string_view name);

// "i2v", "flf2v", "vace" or "t2v" from the facts.
std::string_view model_type(const WanGeometry& geometry);

// Name of the published variant with this geometry (depth and text_len, which no tensor shows, may
// differ), or "custom".
std::string variant_name(const WanGeometry& geometry);

// config.json of the official checkpoints; the text has a 2-space indent and a trailing newline.
std::string config_json_text(const WanGeometry& geometry);

// config.json of diffusers' WanTransformer3DModel in the same manner.
std::string diffusers_config_json_text(const WanGeometry& geometry);

}  // namespace wanslim
