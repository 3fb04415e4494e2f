// SPDX-License-Identifier: Apache-2.0
// Character references of HTML5 ("&eacute;", "&#233;", "&#xe9;") decoded in two ways.
#pragma once
#include <string>
#include <string_view>

namespace wanslim {

// Python's html.unescape: all named references, the semicolon left out where HTML allows it, longest match
// first.
std::u32string html_unescape(std::u32string_view text);

// The careful way of ftfy: references that end in a semicolon, and upper-case spellings of lower-case names
// ("&EACUTE;") that are no references themselves.
std::u32string html_unescape_strict(std::u32string_view text);

}  // namespace wanslim
