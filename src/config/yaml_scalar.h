// SPDX-License-Identifier: Apache-2.0
// What an unquoted YAML scalar is, by the rules of YAML 1.1 as PyYAML's SafeLoader applies them: yes and On
// are booleans, 0x10, 1_000 and 16:9 are integers, 1.0e-5 is a float but 1e-5 a string, 2025-01-01 a date.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wanslim {

enum class YamlTag : uint8_t { kNull, kBool, kInt, kFloat, kDate, kString, kMerge, kValue };

// kMerge is "<<", kValue is "=": strings to us, but PyYAML quotes them when it writes.
YamlTag resolve_plain_scalar(std::string_view text);

// The value of a text that resolve_plain_scalar calls kBool, kInt or kFloat. An integer beyond 64 bits:
// empty.
bool yaml_bool(std::string_view text);
std::optional<int64_t> yaml_int(std::string_view text);
double yaml_float(std::string_view text);

// A number as Python's int() or float() takes it from a string, which is how the reference reads 1e-5 or "8".
std::optional<double> python_float(std::string_view text);

// repr() of a Python float: shortest digits that read back, exponent below 1e-4 and from 1e16 on.
std::string python_float_repr(double value);

}  // namespace wanslim
