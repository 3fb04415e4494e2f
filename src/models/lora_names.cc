// SPDX-License-Identifier: Apache-2.0
#include "models/lora_names.h"

#include <algorithm>

namespace wanslim {
namespace {

struct Ending {
  std::string_view text;
  LoraPart part;
};

constexpr Ending kEndings[] = {
    {".lora_down.weight", LoraPart::kDown},
    {".lora_up.weight", LoraPart::kUp},
    {".lora_A.weight", LoraPart::kDown},
    {".lora_B.weight", LoraPart::kUp},
    {".lora_A.default.weight", LoraPart::kDown},
    {".lora_B.default.weight", LoraPart::kUp},
    {".lora_A", LoraPart::kDown},
    {".lora_B", LoraPart::kUp},
    {".lora.down.weight", LoraPart::kDown},
    {".lora.up.weight", LoraPart::kUp},
    {"_lora.down.weight", LoraPart::kDown},
    {"_lora.up.weight", LoraPart::kUp},
    {".lora_linear_layer.down.weight", LoraPart::kDown},
    {".lora_linear_layer.up.weight", LoraPart::kUp},
    {".alpha", LoraPart::kAlpha},
    {".dora_scale", LoraPart::kMagnitude},
    {".lora_magnitude_vector", LoraPart::kMagnitude},
    {".lora_magnitude_vector.weight", LoraPart::kMagnitude},
    {".lora_magnitude_vector.default", LoraPart::kMagnitude},
    {".lora_magnitude_vector.default.weight", LoraPart::kMagnitude},
    {".diff", LoraPart::kDiff},
    {".diff_b", LoraPart::kDiffBias},
    {".diff_m", LoraPart::kDiffModulation},
    {".w_norm", LoraPart::kDiff},
    {".b_norm", LoraPart::kDiffBias},
};

constexpr struct {
  std::string_view text, adapter;
} kOthers[] = {
    {".lokr_", "LoKr"},
    {".hada_", "LoHa"},
    {".oft_", "OFT"},
    {".boft_", "BOFT"},
    {".lora_mid", "LoCon with a middle weight"},
    {".set_weight", "a replaced weight"},
    {".reshape_weight", "a reshaped weight"},
    {".lora_B.bias", "LoRA with a bias of its own"},
    {".lora_up.bias", "LoRA with a bias of its own"},
    {".glora", "GLoRA"},
};

constexpr std::string_view kPrefixes[] = {"base_model.model.",
                                          "model.diffusion_model.",
                                          "diffusion_model.",
                                          "transformer.",
                                          "pipe.dit.",
                                          "dit.",
                                          "unet.",
                                          "model."};
// Behind these, dots became underscores.
constexpr std::string_view kFlatPrefixes[] = {"lora_unet_", "lora_transformer_", "lycoris_"};

std::string flat(std::string_view path) {
  std::string out(path);
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

}  // namespace

std::optional<LoraKey> parse_lora_key(std::string_view key) {
  const Ending* longest = nullptr;
  for (const Ending& ending : kEndings) {
    if (key.size() > ending.text.size() && key.ends_with(ending.text) &&
        (!longest || ending.text.size() > longest->text.size()))
      longest = &ending;
  }
  if (!longest) return std::nullopt;
  return LoraKey{key.substr(0, key.size() - longest->text.size()), longest->part};
}

std::string_view other_adapter(std::string_view key) {
  for (const auto& other : kOthers) {
    if (key.find(other.text) != std::string_view::npos) return other.adapter;
  }
  return {};
}

LoraModules::LoraModules(std::span<const TensorSpec> model) {
  for (const TensorSpec& spec : model) {
    tensors_[spec.name] = &spec;
    // A parameter that is no module's weight or bias is found under its own name too.
    for (const std::string& path : {spec.layer, spec.name}) {
      modules_[path] = path;
      modules_[flat(path)] = path;
      if (const auto diffusers = name_in(Naming::kDiffusers, path)) {
        modules_[*diffusers] = path;
        modules_[flat(*diffusers)] = path;
      }
    }
  }
}

std::optional<std::string> LoraModules::find(std::string_view module) const {
  for (bool again = true; again;) {
    if (const auto found = modules_.find(module); found != modules_.end()) return found->second;
    again = false;
    for (std::string_view prefix : kPrefixes) {
      if (!module.starts_with(prefix)) continue;
      module.remove_prefix(prefix.size());
      again = true;
      break;
    }
  }
  for (std::string_view prefix : kFlatPrefixes) {
    if (!module.starts_with(prefix)) continue;
    std::string_view rest = module.substr(prefix.size());
    while (rest.starts_with('_')) rest.remove_prefix(1);  // "lora_unet__blocks_0": an empty path in front
    const auto found = modules_.find(rest);
    if (found != modules_.end()) return found->second;
  }
  return std::nullopt;
}

const TensorSpec* LoraModules::tensor(std::string_view official) const {
  const auto found = tensors_.find(official);
  return found == tensors_.end() ? nullptr : found->second;
}

}  // namespace wanslim
