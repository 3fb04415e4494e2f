// SPDX-License-Identifier: Apache-2.0
#include "models/text_html.h"

#include <algorithm>
#include <optional>

#include "models/text_charsets.h"
#include "models/text_tables.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

bool is_digit(char32_t c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char32_t c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_alnum(char32_t c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// name -> characters; `bare` names may stand without a semicolon.
struct Entities {
  std::map<std::u32string, std::u32string> closed, bare, upper;

  Entities() {
    std::string_view left = kEntities;
    while (!left.empty()) {
      const size_t end = std::min(left.find(' '), left.size());
      const std::string_view item = left.substr(0, end);
      left.remove_prefix(std::min(end + 1, left.size()));
      const size_t sign = item.find_first_of("=~");
      const std::u32string name = decode_utf8(item.substr(0, sign));
      const auto parsed = parse_code_texts("0=" + std::string(item.substr(sign + 1)));
      closed[name] = parsed.at(0).text;
      if (item[sign] == '~') bare[name] = parsed.at(0).text;
    }
    add_upper_spellings();
  }

  void add_upper_spellings() {
    const auto capitals = parse_code_texts(kEntityUpperCases);
    for (const auto& [name, text] : closed) {
      std::u32string loud;
      for (char32_t c : name) loud += c >= 'a' && c <= 'z' ? c - 32 : c;
      const bool lower =
          std::none_of(name.begin(), name.end(), [](char32_t c) { return c >= 'A' && c <= 'Z'; });
      if (!lower || closed.count(loud) != 0 || longest_bare(loud) != 0) continue;
      std::u32string& raised = upper[loud];
      for (char32_t c : text) {
        const auto found = capitals.find(c);
        found == capitals.end() ? raised += c : raised += found->second.text;
      }
    }
  }

  // Length of the longest name without semicolon that `text` begins with, of at least two characters.
  size_t longest_bare(std::u32string_view text) const {
    for (size_t size = text.size(); size > 1; --size) {
      if (bare.count(std::u32string(text.substr(0, size))) != 0) return size;
    }
    return 0;
  }
};

const Entities& entities() {
  static const Entities instance;
  return instance;
}

// What a browser shows for &#number;
std::u32string numbered(uint64_t number) {
  if (number == 0 || number > 0x10ffff || (number >= 0xd800 && number < 0xe000)) return U"\ufffd";
  const auto code = static_cast<char32_t>(number);
  if (code == 0x0d) return U"\r";
  if (code >= 0x80 && code <= 0x9f)
    return std::u32string(1, decode_byte(Charset::kWindows1252, static_cast<uint8_t>(code)));
  const bool nonsense = (code >= 1 && code <= 8) || code == 0x0b || (code >= 0x0e && code <= 0x1f) ||
                        code == 0x7f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
  return nonsense ? U"" : std::u32string(1, code);
}

struct Reference {
  size_t end = 0;  // 0: none here
  std::u32string text;
};

// The number behind "&#" at `at`, which stands on the first digit or the x.
Reference number_at(std::u32string_view text, size_t at) {
  const bool hex = at < text.size() && (text[at] == 'x' || text[at] == 'X');
  size_t end = at + (hex ? 1 : 0);
  const size_t first = end;
  uint64_t value = 0;
  while (end < text.size() && (hex ? is_hex(text[end]) : is_digit(text[end]))) {
    const char32_t c = text[end++];
    const uint64_t digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    value = std::min<uint64_t>(value * (hex ? 16 : 10) + digit, 0x110000);
  }
  if (end == first) return {};
  if (end < text.size() && text[end] == ';') ++end;
  return {end, numbered(value)};
}

bool ends_name(char32_t c) {
  return c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';';
}

Reference name_at(std::u32string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && end - at < 32 && !ends_name(text[end])) ++end;
  const std::u32string name(text.substr(at, end - at));
  const Entities& table = entities();
  if (end < text.size() && text[end] == ';') {
    const auto found = table.closed.find(name);
    if (found != table.closed.end()) return {end + 1, found->second};
  }
  const size_t size = table.longest_bare(name);
  return size == 0 ? Reference{} : Reference{at + size, table.bare.at(name.substr(0, size))};
}

template <class F>
std::u32string replace_references(std::u32string_view text, F reference_at) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const Reference r = text[at] == '&' ? reference_at(at + 1) : Reference{};
    if (r.end == 0) {
      out += text[at++];
    } else {
      out += r.text;
      at = r.end;
    }
  }
  return out;
}

}  // namespace

std::u32string html_unescape(std::u32string_view text) {
  return replace_references(text, [&](size_t at) {
    return at < text.size() && text[at] == '#' ? number_at(text, at + 1) : name_at(text, at);
  });
}

std::u32string html_unescape_strict(std::u32string_view text) {
  const Entities& table = entities();
  return replace_references(text, [&](size_t at) -> Reference {
    const bool number = at < text.size() && text[at] == '#';
    const size_t first = at + (number ? 1 : 0);
    size_t end = first;
    while (end < text.size() && end - first < 24 && is_alnum(text[end])) ++end;
    if (end == first || end == text.size() || text[end] != ';') return {};
    if (number) {
      const Reference r = number_at(text, first);
      return r.end == end + 1 && r.text != U";" ? r : Reference{};
    }
    const std::u32string name(text.substr(at, end - at));
    const auto found = table.closed.find(name);
    if (found != table.closed.end()) return {end + 1, found->second};
    const auto loud = table.upper.find(name);
    return loud == table.upper.end() ? Reference{} : Reference{end + 1, loud->second};
  });
}

}  // namespace wanslim
