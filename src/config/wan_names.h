// SPDX-License-Identifier: Apache-2.0
// What the modules of a Wan2.1 transformer are called in the checkpoints that exist, as data. Source of the
// diffusers names: spec formats C5.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wanslim {

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
