// SPDX-License-Identifier: Apache-2.0
// The value of a quoted YAML scalar from what stands between its quotes: line breaks fold to a space or, with
// blank lines between, to that many breaks less one; '' in single quotes; backslash escapes in double quotes.
// Our own because libfyaml 0.7.12 loses the end of some of them ("a\\" followed by an escaped line break).
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace wanslim {

std::string single_quoted_value(std::string_view raw);

// Empty if an escape is invalid: unknown letter, too few digits, no character, half of a surrogate pair.
std::optional<std::string> double_quoted_value(std::string_view raw);

}  // namespace wanslim
