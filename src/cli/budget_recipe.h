// SPDX-License-Identifier: Apache-2.0
// A choice of schemes as a recipe: one linear_quant entry a scheme, its layers as few patterns.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "cli/quant_setup.h"
#include "config/recipe.h"
#include "tensor/layer_plan.h"

namespace wanslim {

// Patterns that match `names` and no other Linear of `layers`: "blocks.*.ffn.0",
// "blocks.{{0..4},7}.self_attn.q".
std::vector<std::string> layer_patterns(const std::set<std::string>& names,
                                        const std::vector<LayerPlan>& layers);

// A recipe of these linear_quant steps for the output. Its text is what best_practice_yaml makes of it, so
// that the copy beside the result gives the same files again.
Recipe recipe_of_steps(std::vector<ProcessStep> steps, const QuantOutput& output);

}  // namespace wanslim
