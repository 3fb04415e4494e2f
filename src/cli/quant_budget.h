// SPDX-License-Identifier: Apache-2.0
// quant --target_size and --target_bits: measures what each scheme costs each layer in error, chooses within
// the size (quant/budget.h), and makes a recipe of it that is then run like any other.
#pragma once
#include "cli/quant_setup.h"

namespace wanslim {

bool has_budget(const QuantArgs& args);
// Errors of kind kUsage for options that do not go together.
void check_budget(const QuantArgs& args);

// Reads every Linear of the blocks of `weights`, the model as it will be quantized, once. `whole` is the job
// with all its layers in float. Tells the plan, its error and how far from the best it can be.
Recipe budget_recipe(const QuantArgs& args, const QuantOutput& output, const FormatJob& whole,
                     const WeightSource& weights, Progress& progress);

}  // namespace wanslim
