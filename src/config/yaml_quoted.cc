// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_quoted.h"

#include <charconv>

#include "base/utf8.h"

namespace wanslim {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

bool is_break(char c) {
  return c == '\n' || c == '\r';
}

// Moves over one line break at `i`.
void skip_break(std::string_view raw, size_t& i) {
  i += raw.compare(i, 2, "\r\n") == 0 ? 2 : 1;
}

// Moves over blank lines and the indentation of the line behind them; returns how many there were.
size_t skip_blank_lines(std::string_view raw, size_t& i) {
  size_t lines = 0;
  while (true) {
    while (i < raw.size() && is_space(raw[i])) ++i;
    if (i >= raw.size() || !is_break(raw[i])) return lines;
    skip_break(raw, i);
    ++lines;
  }
}

// At a line break: drops the spaces that stand before it, but for the first `kept` bytes of `out`, and folds.
void fold(std::string_view raw, size_t& i, size_t kept, std::string& out) {
  while (out.size() > kept && is_space(out.back())) out.pop_back();
  skip_break(raw, i);
  const size_t blank = skip_blank_lines(raw, i);
  if (blank == 0) {
    out += ' ';
  } else {
    out.append(blank, '\n');
  }
}

// The number in `digits` hexadecimal characters at `i`.
std::optional<char32_t> hex(std::string_view raw, size_t i, size_t digits) {
  if (i + digits > raw.size()) return {};
  uint32_t value = 0;
  const char* end = raw.data() + i + digits;
  const std::from_chars_result r = std::from_chars(raw.data() + i, end, value, 16);
  if (r.ec != std::errc() || r.ptr != end) return {};
  return static_cast<char32_t>(value);
}

// A code point of 2, 4 or 8 digits at `i`, which moves behind it; two halves of a surrogate pair are one.
std::optional<char32_t> code_point(std::string_view raw, size_t& i, size_t digits) {
  const std::optional<char32_t> first = hex(raw, i, digits);
  if (!first || *first > 0x10FFFF || (*first >= 0xDC00 && *first <= 0xDFFF)) return {};
  i += digits;
  if (*first < 0xD800 || *first > 0xDBFF) return first;
  if (raw.compare(i, 2, "\\u") != 0) return {};
  const std::optional<char32_t> second = hex(raw, i + 2, 4);
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return {};
  i += 6;
  return 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00);
}

// One escape whose letter stands at `i`.
bool append_escape(std::string_view raw, size_t& i, std::string& out) {
  constexpr std::string_view kFrom = "0abt\tnvfre \"/\\N_LP";
  constexpr std::u32string_view kTo(U"\0\a\b\t\t\n\v\f\r\x1B \"/\\\u0085\u00A0\u2028\u2029", 18);
  const char c = raw[i++];
  const size_t known = kFrom.find(c);
  if (known != std::string_view::npos) {
    append_utf8(kTo[known], out);
    return true;
  }
  const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0) return false;
  const std::optional<char32_t> value = code_point(raw, i, digits);
  if (value) append_utf8(*value, out);
  return value.has_value();
}

}  // namespace

std::string single_quoted_value(std::string_view raw) {
  std::string out;
  for (size_t i = 0; i < raw.size();) {
    if (is_break(raw[i])) {
      fold(raw, i, 0, out);
    } else {
      if (raw[i] == '\'' && i + 1 < raw.size()) ++i;
      out += raw[i++];
    }
  }
  return out;
}

std::optional<std::string> double_quoted_value(std::string_view raw) {
  std::string out;
  size_t kept = 0;  // what an escape made is no white space to drop
  for (size_t i = 0; i < raw.size();) {
    if (is_break(raw[i])) {
      fold(raw, i, kept, out);
    } else if (raw[i] != '\\') {
      out += raw[i++];
    } else if (++i >= raw.size()) {
      return {};
    } else if (is_break(raw[i])) {
      skip_break(raw, i);
      out.append(skip_blank_lines(raw, i), '\n');
      kept = out.size();
    } else {
      if (!append_escape(raw, i, out)) return {};
      kept = out.size();
    }
  }
  return out;
}

}  // namespace wanslim
