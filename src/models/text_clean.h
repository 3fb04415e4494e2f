// SPDX-License-Identifier: Apache-2.0
// The cleaning of a prompt before it is tokenized, as the official pipeline does it (spec A4):
//   fix_text, html.unescape twice, strip, runs of white space -> one space, strip.
// fix_text is ftfy 6.3's with its defaults, line by line until nothing changes: HTML entities unless a line
// so far had "<", mojibake, C1 controls, Latin ligatures, character widths, curly quotes, line breaks,
// terminal escapes, control characters, NFC. All of it is covered; differences can come only from the Unicode
// version of the tables.
#pragma once
#include <string>
#include <string_view>

namespace wanslim {

constexpr size_t kMaxPromptBytes = 65536;

// UTF-8 in and out. Error if the text is no UTF-8 or longer than kMaxPromptBytes.
std::string clean_prompt(std::string_view text);

// ftfy.fix_text alone.
std::u32string fix_text(std::u32string_view text);

}  // namespace wanslim
