// SPDX-License-Identifier: Apache-2.0
#include "models/text_clean.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "models/text_html.h"
#include "models/text_mojibake.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

using std::u32string;
using std::u32string_view;

constexpr struct {
  char32_t code;
  u32string_view letters;
} kLigatures[] = {
    {U'Ĳ', U"IJ"},  {U'ĳ', U"ij"},  {U'ŉ', U"ʼn"}, {U'Ǳ', U"DZ"}, {U'ǲ', U"Dz"}, {U'ǳ', U"dz"},
    {U'Ǆ', U"DŽ"},  {U'ǅ', U"Dž"},  {U'ǆ', U"dž"}, {U'Ǉ', U"LJ"}, {U'ǈ', U"Lj"}, {U'ǉ', U"lj"},
    {U'Ǌ', U"NJ"},  {U'ǋ', U"Nj"},  {U'ǌ', U"nj"}, {U'ﬀ', U"ff"}, {U'ﬁ', U"fi"}, {U'ﬂ', U"fl"},
    {U'ﬃ', U"ffi"}, {U'ﬄ', U"ffl"}, {U'ﬅ', U"ſt"}, {U'ﬆ', U"st"},
};

u32string split_ligatures(u32string_view text) {
  u32string out;
  for (char32_t code : text) {
    const auto* found = std::find_if(std::begin(kLigatures), std::end(kLigatures),
                                     [&](const auto& row) { return row.code == code; });
    found == std::end(kLigatures) ? out += code : out += found->letters;
  }
  return out;
}

char32_t straight_quote(char32_t code) {
  if (code == 0x2bc || (code >= 0x2018 && code <= 0x201b)) return '\'';
  return code >= 0x201c && code <= 0x201f ? U'"' : code;
}

u32string fix_quotes_and_breaks(u32string_view text) {
  u32string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const char32_t code = text[at];
    if (code == '\r' && at + 1 < text.size() && text[at + 1] == '\n') continue;
    const bool line_break = code == '\r' || code == 0x2028 || code == 0x2029 || code == 0x85;
    out += line_break ? U'\n' : straight_quote(code);
  }
  return out;
}

// ESC [ digits and semicolons, then a letter.
u32string remove_terminal_escapes(u32string_view text) {
  u32string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == 0x1b && at + 1 < text.size() && text[at + 1] == '[') {
      size_t end = at + 2;
      while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == ';')) ++end;
      const char32_t letter = end < text.size() ? text[end] | 0x20 : 0;
      if (letter >= 'a' && letter <= 'z') {
        at = end;
        continue;
      }
    }
    out += text[at];
  }
  return out;
}

bool is_unwanted_control(char32_t code) {
  return code < 0x09 || code == 0x0b || (code >= 0x0e && code < 0x20) || code == 0x7f ||
         (code >= 0x206a && code < 0x2070) || code == 0xfeff || (code >= 0xfff9 && code < 0xfffd);
}

u32string fix_line(u32string_view line, bool unescape) {
  u32string text(line);
  for (;;) {
    const u32string before = text;
    if (unescape) text = html_unescape_strict(text);
    text = replace_c1_controls(repair_mojibake(text));
    text = fix_quotes_and_breaks(to_standard_width(split_ligatures(text)));
    text = remove_terminal_escapes(text);
    text.erase(std::remove_if(text.begin(), text.end(), is_unwanted_control), text.end());
    text = to_nfc(text);
    if (text == before) return text;
  }
}

u32string collapse_spaces(u32string_view text) {
  u32string out;
  for (char32_t code : text) {
    if (!is_python_space(code)) {
      out += code;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

u32string fix_text(u32string_view text) {
  u32string out;
  bool unescape = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const u32string_view line = text.substr(at, end - at);
    unescape = unescape && line.find('<') == u32string_view::npos;
    out += fix_line(line, unescape);
    at = end;
  }
  return out;
}

std::string clean_prompt(std::string_view text) {
  if (text.size() > kMaxPromptBytes)
    throw Error(
        {.what = fmt::format("the prompt has {} bytes, at most {} are read", text.size(), kMaxPromptBytes),
         .where = "prompt",
         .hint = "the model sees the first 511 tokens only"});
  const u32string fixed = fix_text(decode_utf8(text));
  return encode_utf8(collapse_spaces(html_unescape(html_unescape(fixed))));
}

}  // namespace wanslim
