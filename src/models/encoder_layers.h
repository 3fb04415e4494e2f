// SPDX-License-Identifier: Apache-2.0
// The layers of the text and the picture encoder as quant/plan wants them: what model_layers.h is for the
// transformer.
#pragma once
#include <span>
#include <vector>

#include "models/names.h"
#include "tensor/layer_plan.h"
#include "tensor/weight_source.h"

namespace wanslim {

// One entry for each Linear and one for each other tensor, in the order of the specs, all float. Error naming
// the tensor if one is missing, misshapen or neither F32, BF16 nor F16.
std::vector<LayerPlan> spec_layers(std::span<const TensorSpec> specs, const WeightSource& weights);

// Of a umT5 encoder (models/umt5.h: open_umt5) and of CLIP's visual tower (models/clip_vision.h: open_clip).
std::vector<LayerPlan> umt5_layers(const WeightSource& weights);
std::vector<LayerPlan> clip_layers(const WeightSource& weights);

}  // namespace wanslim
