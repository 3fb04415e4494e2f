// SPDX-License-Identifier: Apache-2.0
// Which tensors a Wan2.1 transformer has and what they are called: names, shapes and naming schemes as data.
// Source of names and shapes: spec wan-forward A2; of the diffusers names: spec formats C5.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/wan_variants.h"
#include "tensor/shape.h"

namespace wanslim {

// What a tensor does in its module.
enum class TensorRole : uint8_t {
  kLinearWeight,  // [out, in]
  kLinearBias,
  kConvWeight,  // [out, in, 1, 2, 2]
  kConvBias,
  kNormWeight,
  kNormBias,
  kModulation,  // [1, 6, dim] of a block, [1, 2, dim] of the head
  kPosition,    // img_emb.emb_pos
  kEmbedding,   // a table of rows: tokens, relative positions of the text encoder
};

struct TensorSpec {
  std::string name;   // "blocks.3.ffn.0.weight"
  Shape shape;        // [out, in] for weights
  std::string layer;  // path of the module that owns it: "blocks.3.ffn.0"; "blocks.3" for its modulation
  TensorRole role = TensorRole::kLinearWeight;
  std::string unit;    // "blocks.3" or "vace_blocks.0"; empty for the modules outside the blocks
  int64_t block = -1;  // number within blocks or vace_blocks
  bool vace = false;   // in vace_blocks

  bool in_block() const { return block >= 0; }
  bool is_linear_weight() const { return role == TensorRole::kLinearWeight; }
  bool is_linear() const { return role == TensorRole::kLinearWeight || role == TensorRole::kLinearBias; }
};

// Every tensor of the transformer: block by block (blocks, then vace_blocks), each in the order of PyTorch's
// named_modules with own parameters first, then the modules outside the blocks. This is the order of the
// reference's description file.
std::vector<TensorSpec> tensor_specs(const WanGeometry& geometry);

// How a checkpoint names its tensors.
//   kOfficial   "blocks.3.ffn.0.weight"
//   kDiffusers  "blocks.3.ffn.net.0.proj.weight"
//   kComfyUi    "model.diffusion_model.blocks.3.ffn.0.weight"
enum class Naming : uint8_t { kOfficial, kDiffusers, kComfyUi };

std::string_view name_of(Naming naming);  // "official", "diffusers", "comfyui"
// Error of kind kUsage with the nearest spelling.
Naming naming_from_name(std::string_view name);

// The scheme that most of the names fit; kOfficial if none fits any.
Naming detect_naming(std::span<const std::string> names);

// The official name of a tensor or layer path that is called `name` in the scheme. nullopt if no module of a
// Wan transformer is called so. What follows the module's path (".weight", ".weight_scale") stays.
std::optional<std::string> official_name(Naming naming, std::string_view name);

// The name in the scheme of an official tensor or layer path; nullopt if no module is called so.
std::optional<std::string> name_in(Naming naming, std::string_view official);

// The parts of "blocks.12.ffn.0": list "blocks", index 12, rest "ffn.0". nullopt for anything else, leading
// zeros and numbers of more than 6 digits included.
struct BlockPath {
  std::string_view list;
  int64_t index = 0;
  std::string_view rest;
};
std::optional<BlockPath> parse_block_path(std::string_view name);

}  // namespace wanslim
