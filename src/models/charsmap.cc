// SPDX-License-Identifier: Apache-2.0
#include "models/charsmap.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

constexpr size_t kWholeClusterBytes = 6;

// Units of the double array: label and offset of a node, or the value of a leaf.
uint32_t label(uint32_t unit) {
  return unit & (0x80000000u | 0xff);
}
uint32_t offset(uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200) >> 6);
}
bool has_leaf(uint32_t unit) {
  return (unit & 0x100) != 0;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, std::string_view where) {
  const auto fail = [&](const std::string& what) {
    throw Error({.what = "the precompiled charsmap " + what, .where = std::string(where)});
  };
  const auto number = [&](size_t at) {
    uint32_t out = 0;
    for (size_t i = 0; i < 4; ++i)
      out |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
    return out;
  };
  if (bytes.size() < 4) fail(fmt::format("has {} bytes", bytes.size()));
  const uint32_t trie_bytes = number(0);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4)
    fail(fmt::format("claims a trie of {} bytes, it has {}", trie_bytes, bytes.size()));
  for (size_t at = 0; at < trie_bytes; at += 4) units_.push_back(number(4 + at));
  replacements_ = bytes.substr(4 + trie_bytes);
  for (size_t at = 0; at < replacements_.size();) {
    const size_t size = decode_utf8_at(replacements_, at).second;
    if (size == 0) fail("has replacements that are no UTF-8");
    at += size;
  }
}

// The walk stays inside the array whatever it holds; a value outside the replacements is none.
std::optional<std::u32string> Charsmap::replacement(std::u32string_view text) const {
  const std::string key = encode_utf8(text);
  uint32_t position = offset(units_[0]);
  for (char c : key) {
    const auto byte = static_cast<uint8_t>(c);
    position ^= byte;
    if (byte == 0 || position >= units_.size() || label(units_[position]) != byte) return std::nullopt;
    const uint32_t unit = units_[position];
    position ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (position >= units_.size()) return std::nullopt;
    const size_t begin = units_[position] & 0x7fffffff;
    if (begin >= replacements_.size() || (static_cast<uint8_t>(replacements_[begin]) & 0xc0) == 0x80)
      return std::nullopt;
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return decode_utf8(std::string_view(replacements_).substr(begin, end - begin));
  }
  return std::nullopt;
}

std::u32string Charsmap::normalize(std::u32string_view text) const {
  if (units_.empty()) return std::u32string(text);
  std::u32string out;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = grapheme_end(text, begin);
    const std::u32string_view cluster = text.substr(begin, end - begin);
    if (end - begin < kWholeClusterBytes && encode_utf8(cluster).size() < kWholeClusterBytes) {
      if (const auto whole = replacement(cluster)) {
        out += *whole;
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size(); ++at) {
      const std::u32string_view one = cluster.substr(at, 1);
      out += replacement(one).value_or(std::u32string(one));
    }
  }
  return out;
}

}  // namespace wanslim
