// SPDX-License-Identifier: Apache-2.0
// Brace expansion as bash does it: "blocks.{0..3}.{q,k}" -> blocks.0.q, blocks.0.k, blocks.1.q, ...
// {a,b}, {1..9}, {9..1..2}, {01..10}, {a..e}, nested; a backslash keeps a brace or comma literal and stays in
// the result; ${...} is not expanded; what is no valid group stays as text.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace wanslim {

constexpr size_t kBraceLimit = 1000;

// Throws Error if there are more than `limit` expansions.
std::vector<std::string> expand_braces(std::string_view text, size_t limit = kBraceLimit);

}  // namespace wanslim
