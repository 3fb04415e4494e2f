// SPDX-License-Identifier: Apache-2.0
// The fields of MethodOptions by the names that `ext` of a qconfig gives them (protocol.h, options()).
#pragma once
#include <string_view>

#include "config/recipe.h"
#include "config/yaml.h"

namespace wanslim {

// `value` has the type of the option's row.
void set_option(std::string_view name, const YamlNode& value, MethodOptions& options);

YamlNode get_option(std::string_view name, const MethodOptions& options);

}  // namespace wanslim
