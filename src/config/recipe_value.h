// SPDX-License-Identifier: Apache-2.0
// Checks one value of a recipe against the type that a row of protocol.h gives it.
#pragma once
#include <string_view>

#include "config/protocol.h"
#include "config/yaml_read.h"

namespace wanslim {

struct ValueRule {
  protocol::ValueType type;
  double low = 0, high = 0;
  std::string_view words = {};
};

// The value, converted to its type. Throws Error.
YamlNode checked_value(const YamlView& value, const ValueRule& rule);

}  // namespace wanslim
