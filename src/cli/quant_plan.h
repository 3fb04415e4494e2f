// SPDX-License-Identifier: Apache-2.0
// `quant --dry-run`: what would be done, layer by layer, with size, memory and time.
#pragma once
#include "base/json.h"
#include "formats/writer.h"
#include "models/lora.h"
#include "models/quant_model.h"

namespace wanslim {

// "blocks.*.ffn.0" for "blocks.3.ffn.0": what layers that differ in the block number alone share.
std::string layer_kind(const std::string& name);

struct PlanSummary {
  std::string variant;
  uint64_t read_bytes = 0, write_bytes = 0, peak_memory = 0;
  std::vector<std::string> loras = {};  // one line each
  double seconds = 0;  // estimate: a probe of the reading speed, and writing at the same speed
};

PlanSummary summarize(const FormatJob& job, const FormatWriter& writer, const QuantModel& model,
                      const LoraSet& loras);
Json plan_json(const FormatJob& job, const FormatWriter& writer, const PlanSummary& summary);
// Layers that differ in the block number alone share a line.
std::string plan_text(const FormatJob& job, const FormatWriter& writer, const PlanSummary& summary);

}  // namespace wanslim
