// SPDX-License-Identifier: Apache-2.0
// What a LoRA file holds, for people, and which published transformers it is for.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/lora.h"

namespace wanslim {

struct LoraReport {
  LoraContents contents;               // of the models it fits
  std::vector<std::string> variants;   // those with the fewest unmatched keys; empty: it fits none
  std::vector<std::string> unmatched;  // keys that belong to no tensor of them
  std::string why = {};                // it fits none
};

// nullopt if the checkpoint is no adapter. No values are read but alphas.
std::optional<LoraReport> report_on_lora(const Checkpoint& checkpoint, const Path& path);

}  // namespace wanslim
