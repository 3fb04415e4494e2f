// SPDX-License-Identifier: Apache-2.0
// The scaling of a LoRA that carries no alpha of its own: what PEFT and diffusers write beside the tensors.
#pragma once
#include <optional>
#include <string>

#include "io/checkpoint.h"

namespace wanslim {

struct AdapterConfig {
  std::optional<double> alpha = {};
  bool rank_stabilized = false;  // alpha / sqrt(rank), arXiv 2312.03732
  std::string source = {};       // for people: "adapter_config.json"

  // What an update of this rank is multiplied by: alpha / rank, or 1 without an alpha.
  double scale(int64_t rank) const;
};

// "lora_adapter_metadata" of the file's header (diffusers), else adapter_config.json in its folder (PEFT).
// Error if either is malformed or gives single layers factors of their own.
AdapterConfig read_adapter_config(const Checkpoint& checkpoint, const Path& file);

}  // namespace wanslim
