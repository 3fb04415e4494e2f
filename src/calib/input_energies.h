// SPDX-License-Identifier: Apache-2.0
// Energies of input channels that a recipe names for its weight methods (`ext: {energies: FILE}`): how much
// an error in a column of the weight counts in the output. The file is safetensors with a tensor
// "<layer>.energy", F32 [in], mean(x_i^2) or anything proportional to it, for each layer that asks for it.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "config/recipe.h"
#include "tensor/layer_plan.h"

namespace wanslim {

// Layer -> energies, scaled to a mean of 1.
using InputEnergies = std::map<std::string, std::vector<float>>;

// For the layers whose step names a file. Error naming file and tensor for one that is absent, misshapen,
// negative, not finite or all zero, and for a layer whose inputs will be rotated.
InputEnergies load_energies(std::span<const ProcessStep> steps, std::span<const LayerPlan> layers);

// Empty if there are none.
std::string hash_of(const InputEnergies& energies);

}  // namespace wanslim
