// SPDX-License-Identifier: Apache-2.0
// UTF-8 <-> code points, strict: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace wanslim {

// Byte offset of the first invalid sequence, or npos if the whole text is UTF-8.
size_t first_invalid_utf8(std::string_view text);

// Code points of a text; an invalid byte becomes U+FFFD.
std::u32string utf8_to_code_points(std::string_view text);

void append_utf8(char32_t code_point, std::string& out);

}  // namespace wanslim
