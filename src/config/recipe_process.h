// SPDX-License-Identifier: Apache-2.0
// The parts of a recipe that say what is done to layers: processors, their qconfigs, savers. Used by
// recipe_yaml.cc. Every function throws Error placed in the file.
#pragma once
#include <vector>

#include "config/recipe.h"
#include "config/yaml_read.h"

namespace wanslim {

// spec.process, or the configs of a group.
std::vector<ProcessStep> parse_process(const YamlView& list);

// spec.save.
std::vector<SaveStep> parse_save(const YamlView& list);

}  // namespace wanslim
