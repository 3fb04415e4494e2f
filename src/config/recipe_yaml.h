// SPDX-License-Identifier: Apache-2.0
// Recipes as YAML: the protocol multimodal_sd_modelslim_v1 of msModelSlim 26.1, read as its loader reads it
// (PyYAML's SafeLoader, then pydantic), and our extensions of it: dtypes nvfp4 and those of ggml, scope
// per_group for integer weights.
//
// What differs from the reference, on purpose: an unknown key inside a processor, a qconfig or a saver is an
// error there it is dropped silently; an unknown key of spec is kept as a warning. See spec msmodelslim
// section 2.
#pragma once
#include <string>
#include <string_view>

#include "config/recipe.h"

namespace wanslim {

// `source` is the name that errors show: a file name, or "built-in practice NAME". Throws Error with
// source:line:column, what was got and what was expected, and the nearest spelling. The whole text is
// checked: types, ranges, names; which combinations can run is decided in quant/plan.
Recipe parse_recipe(std::string_view text, std::string_view source);

// Reads the file at `path` (at most 1 MiB, regular file) and parses it.
Recipe load_recipe(const std::string& path);

// The recipe as YAML that parses back to the same Recipe (but for source, text, places and warnings).
std::string recipe_yaml(const Recipe& recipe);

// The text of <model_type>_best_practice.yaml, which the reference leaves in its output folder: apiversion,
// spec as it stood in the file, metadata with all defaults, extra keys; as PyYAML's safe_dump writes them.
std::string best_practice_yaml(const Recipe& recipe);

}  // namespace wanslim
