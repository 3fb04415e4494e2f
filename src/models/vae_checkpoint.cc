// SPDX-License-Identifier: Apache-2.0
#include "models/vae_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace wanslim {
namespace {

struct Renaming {
  std::string_view diffusers, official;
};

// Modules that stand once, and the start of those that are numbered.
constexpr Renaming kModules[] = {
    {"quant_conv.", "conv1."},
    {"post_quant_conv.", "conv2."},
    {"encoder.conv_in.", "encoder.conv1."},
    {"encoder.norm_out.", "encoder.head.0."},
    {"encoder.conv_out.", "encoder.head.2."},
    {"encoder.mid_block.resnets.0.", "encoder.middle.0."},
    {"encoder.mid_block.attentions.0.", "encoder.middle.1."},
    {"encoder.mid_block.resnets.1.", "encoder.middle.2."},
    {"decoder.conv_in.", "decoder.conv1."},
    {"decoder.norm_out.", "decoder.head.0."},
    {"decoder.conv_out.", "decoder.head.2."},
    {"decoder.mid_block.resnets.0.", "decoder.middle.0."},
    {"decoder.mid_block.attentions.0.", "decoder.middle.1."},
    {"decoder.mid_block.resnets.1.", "decoder.middle.2."},
};

// Parts of a residual block.
constexpr Renaming kParts[] = {
    {"norm1.", "residual.0."}, {"conv1.", "residual.2."},       {"norm2.", "residual.3."},
    {"conv2.", "residual.6."}, {"conv_shortcut.", "shortcut."},
};

bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes "12." off the front.
std::optional<int64_t> skip_number(std::string_view& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const size_t digits = static_cast<size_t>(end - text.data());
  if (error != std::errc() || digits > 4 || value < 0 || digits >= text.size() || *end != '.')
    return std::nullopt;
  text.remove_prefix(digits + 1);
  return value;
}

std::string rename_part(std::string_view rest) {
  for (const Renaming& part : kParts) {
    if (std::string_view tail = rest; skip(tail, part.diffusers))
      return fmt::format("{}{}", part.official, tail);
  }
  return std::string(rest);
}

// Resnets in each up block, from the names of the first.
int64_t count_resnets(const Checkpoint& file) {
  int64_t count = 0;
  while (file.find(fmt::format("decoder.up_blocks.0.resnets.{}.conv1.weight", count)) != nullptr) ++count;
  return count;
}

constexpr std::array<std::string_view, 4> kFilesInFolder = {"Wan2.1_VAE.pth", "Wan2.1_VAE.safetensors",
                                                            "vae/diffusion_pytorch_model.safetensors",
                                                            "diffusion_pytorch_model.safetensors"};

}  // namespace

std::optional<std::string> official_vae_name(std::string_view name, int64_t resnets) {
  for (const Renaming& module : kModules) {
    if (std::string_view rest = name; skip(rest, module.diffusers))
      return fmt::format("{}{}", module.official, rename_part(rest));
  }
  std::string_view rest = name;
  if (skip(rest, "encoder.down_blocks.")) {
    if (const auto index = skip_number(rest))
      return fmt::format("encoder.downsamples.{}.{}", *index, rename_part(rest));
  } else if (skip(rest, "decoder.up_blocks.")) {
    const auto block = skip_number(rest);
    if (!block) return std::nullopt;
    const int64_t first = *block * (resnets + 1);
    if (skip(rest, "upsamplers.0.")) return fmt::format("decoder.upsamples.{}.{}", first + resnets, rest);
    if (skip(rest, "resnets.")) {
      const auto index = skip_number(rest);
      if (index && *index < resnets)
        return fmt::format("decoder.upsamples.{}.{}", first + *index, rename_part(rest));
    }
  }
  return std::nullopt;
}

NamedCheckpoint open_vae(const Path& path) {
  const Path found = find_in_folder(path, "VAE", kFilesInFolder);
  Checkpoint file = Checkpoint::open(found);
  NamedCheckpoint::Rename rename;
  if (file.find("decoder.conv_in.weight") != nullptr || file.find("encoder.conv_in.weight") != nullptr) {
    rename = [resnets = count_resnets(file)](std::string_view name) {
      return official_vae_name(name, resnets);
    };
  }
  NamedCheckpoint out(std::move(file), rename);
  if (!out.has("decoder.conv1.weight") && !out.has("encoder.conv1.weight")) {
    throw Error(
        {.what =
             "this is not a Wan VAE: it has neither \"decoder.conv1.weight\" nor \"encoder.conv1.weight\"",
         .where = found.string(),
         .hint = "give Wan2.1_VAE.pth or the vae folder of a diffusers checkpoint"});
  }
  return out;
}

}  // namespace wanslim
