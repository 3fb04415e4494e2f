// SPDX-License-Identifier: Apache-2.0
#include "config/method_options.h"

#include <variant>

#include "base/error.h"
#include "config/yaml_dump.h"

namespace wanslim {
namespace {

using Member = std::variant<int MethodOptions::*, double MethodOptions::*, bool MethodOptions::*,
                            std::string MethodOptions::*>;

struct Row {
  std::string_view name;
  Member member;
};

const Row& row_of(std::string_view name) {
  static const Row kRows[] = {
      {"step", &MethodOptions::step},
      {"ceil_x_value", &MethodOptions::ceil_x_value},
      {"enable_search", &MethodOptions::enable_search},
      {"search_min", &MethodOptions::search_min},
      {"search_max", &MethodOptions::search_max},
      {"search_step", &MethodOptions::search_step},
      {"dual_block_size", &MethodOptions::dual_block_size},
      {"group_size", &MethodOptions::group_size},
      {"percdamp", &MethodOptions::percdamp},
      {"block_size", &MethodOptions::block_size},
      {"aggregation_type", &MethodOptions::aggregation_type},
      {"axes", &MethodOptions::axes},
      {"timestep", &MethodOptions::timestep},
      {"energies", &MethodOptions::energies},
  };
  for (const Row& row : kRows) {
    if (row.name == name) return row;
  }
  check_failed("an option of protocol.cc has a member", __FILE__, __LINE__);
}

void assign(int& to, const YamlNode& value) {
  to = static_cast<int>(value.integer);
}
void assign(double& to, const YamlNode& value) {
  to = value.number;
}
void assign(bool& to, const YamlNode& value) {
  to = value.boolean;
}
void assign(std::string& to, const YamlNode& value) {
  to = value.text;
}

YamlNode node_of(int value) {
  return yaml_integer(value);
}
YamlNode node_of(double value) {
  return yaml_real(value);
}
YamlNode node_of(bool value) {
  return yaml_boolean(value);
}
YamlNode node_of(const std::string& value) {
  return yaml_string(value);
}

}  // namespace

void set_option(std::string_view name, const YamlNode& value, MethodOptions& options) {
  std::visit([&](auto member) { assign(options.*member, value); }, row_of(name).member);
}

YamlNode get_option(std::string_view name, const MethodOptions& options) {
  return std::visit([&](auto member) { return node_of(options.*member); }, row_of(name).member);
}

}  // namespace wanslim
