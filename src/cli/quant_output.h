// SPDX-License-Identifier: Apache-2.0
// What the formats want of `quant` before it plans: the choice among them, their options, the layers that a
// built-in practice must take for them, the files that go along.
#pragma once
#include <vector>

#include "cli/quant_setup.h"

namespace wanslim {

// name=value of Format::options. Errors of kind kUsage.
std::map<std::string, std::string> parse_format_options(const std::vector<std::string>& texts,
                                                        const Format& format);

// `format`, or if it is empty what the recipe's savers ask for. Errors of kind kUsage for options that the
// format has not.
QuantOutput choose_output(const QuantArgs& args, const Recipe& recipe, const std::string& format);

// Some runtimes want every Linear of a block in one scheme: widens a built-in practice for them and says so.
void fit_practice(const Format& format, const std::vector<LayerPlan>& layers, Recipe& recipe,
                  Progress& progress);

// Files that go along: those of the model's folder that the format names, but index files, and the recipe
// under the name <model_type>_best_practice.yaml.
std::vector<Sidecar> extra_files(const QuantArgs& args, const Format& format, const Recipe& recipe);

}  // namespace wanslim
