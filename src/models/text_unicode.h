// SPDX-License-Identifier: Apache-2.0
// What the text path needs of Unicode: UTF-8, character classes as Python and Rust see them, NFC
// (UAX #15), half and full widths, grapheme clusters (UAX #29 without rule GB9c).
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wanslim {

// Error with the byte if the text is no valid UTF-8.
std::u32string decode_utf8(std::string_view text);
// One character at text[at] and how many bytes it has; 0 bytes if it is no valid UTF-8.
std::pair<char32_t, size_t> decode_utf8_at(std::string_view text, size_t at);
std::string encode_utf8(std::u32string_view text);
void append_utf8(std::string& out, char32_t code);

bool is_python_space(char32_t code);  // str.isspace, \s of re
bool is_white_space(char32_t code);   // the White_Space property, char::is_whitespace of Rust
bool is_word(char32_t code);          // \w of re

std::u32string to_nfc(std::u32string_view text);
std::u32string to_standard_width(std::u32string_view text);

// Index behind the grapheme cluster that begins at `begin`.
size_t grapheme_end(std::u32string_view text, size_t begin);

// "61-7A 5F": sorted ranges.
class CodeRanges {
 public:
  explicit CodeRanges(std::string_view table);
  bool has(char32_t code) const;

 private:
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

// "C0=41+300": code -> sign and characters.
struct CodeText {
  char sign = '=';
  std::u32string text;
};
std::map<char32_t, CodeText> parse_code_texts(std::string_view table);

}  // namespace wanslim
