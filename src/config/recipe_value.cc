// SPDX-License-Identifier: Apache-2.0
#include "config/recipe_value.h"

#include <fmt/format.h>

#include "config/yaml_dump.h"

namespace wanslim {
namespace {

using protocol::ValueType;

YamlNode words_of(const YamlView& value, const std::vector<std::string>& words) {
  YamlNode out = yaml_list();
  for (const YamlView& item : value.list()) out.items.push_back(yaml_string(item.choice("value", words)));
  return out;
}

YamlNode real(const YamlView& value, const ValueRule& rule) {
  const double x = value.number();
  if (rule.type == ValueType::kUnit && !(x > 0 && x < 1))
    value.wrong_type("a number between 0 and 1, both excluded");
  if (rule.type == ValueType::kReal && !(x >= rule.low && x <= rule.high)) {
    value.wrong_type(fmt::format("a number from {} to {}", rule.low, rule.high));
  }
  if (rule.type == ValueType::kOpenReal && !(x > rule.low && x <= rule.high)) {
    value.wrong_type(fmt::format("a number above {}, at most {}", rule.low, rule.high));
  }
  return yaml_real(x);
}

YamlNode power_of_two(const YamlView& value, const ValueRule& rule) {
  const int64_t x = value.integer(-1, static_cast<int64_t>(rule.high));
  const bool power = x > 0 && (x & (x - 1)) == 0;
  if (!power && !(x == -1 && rule.low < 0)) {
    value.wrong_type(rule.low < 0 ? "-1 or a power of two" : "a power of two");
  }
  return yaml_integer(x);
}

YamlNode power_of_four(const YamlView& value, const ValueRule& rule) {
  const int64_t x = value.integer(static_cast<int64_t>(rule.low), static_cast<int64_t>(rule.high));
  int64_t power = 1;
  while (power < x) power *= 4;
  if (power != x) value.wrong_type("a power of four");
  return yaml_integer(x);
}

YamlNode fixed(const YamlView& value, const ValueRule& rule) {
  const YamlNode only = parse_yaml(rule.words, "");
  if (yaml_flow(value.node()) != yaml_flow(only)) {
    value.fail(fmt::format("cannot be set; only its default {} is possible", rule.words),
               "leave the key out");
  }
  return only;
}

YamlNode indices(const YamlView& value) {
  YamlNode out = yaml_list();
  for (const YamlView& item : value.list()) out.items.push_back(yaml_integer(item.integer(0, 100000)));
  return out;
}

// rule.low: fewest items; rule.high: longest item, 0 for the usual bound.
YamlNode strings(const YamlView& value, const ValueRule& rule) {
  YamlNode out = yaml_list();
  for (const std::string& text : value.strings(rule.high > 0 ? static_cast<size_t>(rule.high) : 4096)) {
    if (rule.low > 0 && text.find_first_not_of(" \t\n") == std::string::npos) value.fail("an item is blank");
    out.items.push_back(yaml_string(text));
  }
  if (static_cast<double>(out.items.size()) < rule.low) value.fail("the list is empty");
  return out;
}

}  // namespace

YamlNode checked_value(const YamlView& value, const ValueRule& rule) {
  switch (rule.type) {
    case ValueType::kBool:
      return yaml_boolean(value.boolean());
    case ValueType::kInt:
      return yaml_integer(value.integer(static_cast<int64_t>(rule.low), static_cast<int64_t>(rule.high)));
    case ValueType::kUnit:
      if (value.is_null()) return YamlNode{};
      [[fallthrough]];
    case ValueType::kReal:
    case ValueType::kOpenReal:
      return real(value, rule);
    case ValueType::kPower2:
      return power_of_two(value, rule);
    case ValueType::kPower4:
      return power_of_four(value, rule);
    case ValueType::kWord:
      return yaml_string(value.choice("value", protocol::split_words(rule.words)));
    case ValueType::kWords:
      return words_of(value, protocol::split_words(rule.words));
    case ValueType::kString:
      return yaml_string(value.string(65536));
    case ValueType::kStrings:
      return strings(value, rule);
    case ValueType::kIndices:
      return indices(value);
    case ValueType::kFixed:
      return fixed(value, rule);
  }
  value.fail("no rule");
}

}  // namespace wanslim
