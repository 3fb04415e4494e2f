// SPDX-License-Identifier: Apache-2.0
// "Did you mean ...": the nearest of a list of known words.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace wanslim {

// The candidate with the smallest edit distance (Levenshtein, case-insensitive), if it is near enough to be a
// slip; empty otherwise.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// " - did you mean \"x\"?" or empty.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace wanslim
