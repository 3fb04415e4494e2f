// SPDX-License-Identifier: Apache-2.0
// Which layer gets which scheme, and why: the recipe held against the layers of the model. Everything that
// this version cannot run is refused here by name, before a weight is read; nothing in a recipe is ignored.
#pragma once
#include <string>
#include <vector>

#include "config/recipe.h"
#include "tensor/layer_plan.h"

namespace wanslim {

struct QuantPlan {
  std::vector<LayerPlan> layers;      // the model's, in official order
  std::vector<std::string> warnings;  // patterns that matched nothing
};

// The entry of recipe.process that LayerPlan::step counts, groups taken apart.
std::vector<ProcessStep> flat_steps(const Recipe& recipe);

// `layers` come in as float. Linears inside blocks are taken by the first linear_quant entry that selects
// them; the rest stays float, also where a preparing step (preparation.h) selects it. `head`: channels of an
// attention's head, which rotate_vo needs. Error if a step cannot run, a shape does not fit its scheme, or no
// layer is taken at all.
QuantPlan plan_layers(const Recipe& recipe, std::vector<LayerPlan> layers, Numerics numerics, int head = 0);

}  // namespace wanslim
