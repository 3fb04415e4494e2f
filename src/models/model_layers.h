// SPDX-License-Identifier: Apache-2.0
// The layers of a checkpoint as quant/plan wants them: one entry for each Linear and one for each other
// tensor.
#pragma once
#include <vector>

#include "models/wan_checkpoint.h"
#include "tensor/layer_plan.h"

namespace wanslim {

// In official order, all float.
std::vector<LayerPlan> model_layers(const WanCheckpoint& checkpoint);

}  // namespace wanslim
