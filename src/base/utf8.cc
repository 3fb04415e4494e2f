// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

namespace wanslim {
namespace {

constexpr char32_t kInvalid = 0xFFFFFFFF;

// The code point that starts at text[i], with its length in `length`; kInvalid with length 1 if there is
// none.
char32_t decode(std::string_view text, size_t i, size_t& length) {
  length = 1;
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char first = byte(i);
  if (first < 0x80) return first;
  const size_t count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || i + count > text.size()) return kInvalid;
  char32_t value = first & (0x7Fu >> count);
  for (size_t k = 1; k < count; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return kInvalid;
    value = value << 6 | (byte(i + k) & 0x3Fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[count] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return kInvalid;
  length = count;
  return value;
}

}  // namespace

size_t first_invalid_utf8(std::string_view text) {
  size_t length = 1;
  for (size_t i = 0; i < text.size(); i += length) {
    if (decode(text, i, length) == kInvalid) return i;
  }
  return std::string_view::npos;
}

std::u32string utf8_to_code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  size_t length = 1;
  for (size_t i = 0; i < text.size(); i += length) {
    const char32_t c = decode(text, i, length);
    out.push_back(c == kInvalid ? 0xFFFD : c);
  }
  return out;
}

void append_utf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
    return;
  }
  const int count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  constexpr unsigned char kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  out.push_back(static_cast<char>(kLead[count] | (c >> (6 * (count - 1)))));
  for (int k = count - 2; k >= 0; --k) out.push_back(static_cast<char>(0x80 | ((c >> (6 * k)) & 0x3F)));
}

}  // namespace wanslim
