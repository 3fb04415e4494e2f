// SPDX-License-Identifier: Apache-2.0
// --lora FILE[:STRENGTH] of quant, verify and generate.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "formats/manifest.h"
#include "models/lora.h"
#include "models/quant_model.h"
#include "tensor/layer_plan.h"

namespace wanslim {

inline constexpr char kLoraHelp[] =
    "FILE or FILE:STRENGTH, a LoRA to merge into the weights; may be repeated";

// Says what each file holds and warns of the keys that belong to no tensor of the transformer.
LoraSet open_loras(const std::vector<std::string>& arguments, const WanGeometry& geometry,
                   Progress& progress);
// The same; Error of kind kUsage if the model is no transformer.
LoraSet open_loras(const std::vector<std::string>& arguments, const QuantModel& model, Progress& progress);

// What is merged is read as F32: sets the dtypes of the planned layers and says so in their reasons.
void read_merged(const LoraSet& loras, std::vector<LayerPlan>& layers);
// Bytes that merging into a layer takes beside the layer.
uint64_t merge_memory(const LoraSet& loras, const LayerPlan& layer);

// What a resumed run must find unchanged.
Json lora_identity(const LoraSet& loras);
// A problem in the report if the result in `folder` was made with other LoRAs; reads the files whole.
void check_same_loras(const LoraSet& loras, const Path& folder, VerifyReport& report);
// For the manifest: reads the files whole.
std::vector<ManifestLora> fingerprints(const LoraSet& loras);

}  // namespace wanslim
