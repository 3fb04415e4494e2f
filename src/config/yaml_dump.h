// SPDX-License-Identifier: Apache-2.0
// YAML nodes -> text. yaml_dump writes byte for byte what PyYAML's safe_dump(sort_keys=False) writes for the
// same data: block style, texts folded at `width` columns, non-ASCII characters escaped.
#pragma once
#include <string>
#include <string_view>

#include "config/yaml.h"

namespace wanslim {

std::string yaml_dump(const YamlNode& root, int width = 80);

// On one line, as JSON with quoted strings and keys; parse_yaml reads it back.
std::string yaml_flow(const YamlNode& node);

}  // namespace wanslim
