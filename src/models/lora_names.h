// SPDX-License-Identifier: Apache-2.0
// What the keys of LoRA files mean, whatever tool wrote them.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "models/names.h"

namespace wanslim {

enum class LoraPart : uint8_t { kDown, kUp, kAlpha, kMagnitude, kDiff, kDiffBias, kDiffModulation };

struct LoraKey {
  std::string_view module;  // as the file calls it, with its prefix
  LoraPart part = LoraPart::kDown;
};

// Splits "transformer.blocks.0.attn1.to_q.lora_A.weight". nullopt for a key that is no part of a LoRA.
std::optional<LoraKey> parse_lora_key(std::string_view key);

// The kind of adapter that such a key belongs to if it is another one: "LoKr"; empty otherwise.
std::string_view other_adapter(std::string_view key);

// Finds modules of one model under any of their names.
class LoraModules {
 public:
  explicit LoraModules(std::span<const TensorSpec> model);
  // Official path of the module; nullopt if the model has none of this name.
  std::optional<std::string> find(std::string_view module) const;
  // The tensor of the model; null if there is none of this official name.
  const TensorSpec* tensor(std::string_view official) const;

 private:
  std::map<std::string, const TensorSpec*, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> modules_;  // any name without prefix -> official path
};

}  // namespace wanslim
