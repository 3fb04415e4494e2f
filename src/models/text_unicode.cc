// SPDX-License-Identifier: Apache-2.0
#include "models/text_unicode.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "models/text_tables.h"

namespace wanslim {
namespace {

// Calls use(item) for every item of a table.
template <class F>
void for_each_item(std::string_view table, F use) {
  while (!table.empty()) {
    const size_t end = std::min(table.find(' '), table.size());
    use(table.substr(0, end));
    table.remove_prefix(std::min(end + 1, table.size()));
  }
}

char32_t hex(std::string_view digits) {
  return static_cast<char32_t>(std::stoul(std::string(digits), nullptr, 16));
}

std::pair<char32_t, char32_t> parse_range(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {hex(text), hex(text)};
  return {hex(text.substr(0, dash)), hex(text.substr(dash + 1))};
}

// Hangul syllables are composed by arithmetic (UAX #15, 3.12 of the standard).
constexpr char32_t kSyllables = 0xac00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11a7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;

class Normalizer {
 public:
  Normalizer() {
    for (auto& [code, item] : parse_code_texts(kDecompositions)) {
      if (item.sign == '=' && item.text.size() == 2) compositions_[{item.text[0], item.text[1]}] = code;
      decompositions_[code] = std::move(item.text);
    }
    for_each_item(kCombiningClasses, [&](std::string_view item) {
      const size_t colon = item.find(':');
      const auto [first, last] = parse_range(item.substr(0, colon));
      classes_[last] = {first, std::stoi(std::string(item.substr(colon + 1)))};
    });
  }

  int combining_class(char32_t code) const {
    if (code < 0x300) return 0;
    const auto found = classes_.lower_bound(code);
    return found != classes_.end() && found->second.first <= code ? found->second.second : 0;
  }

  void decompose(char32_t code, std::u32string& out) const {
    if (code >= kSyllables && code < kSyllables + kLeadCount * kVowelCount * kTailCount) {
      const char32_t index = code - kSyllables;
      out += kLeads + index / (kVowelCount * kTailCount);
      out += kVowels + index / kTailCount % kVowelCount;
      if (index % kTailCount != 0) out += kTails + index % kTailCount;
      return;
    }
    const auto found = code < 0xc0 ? decompositions_.end() : decompositions_.find(code);
    if (found == decompositions_.end()) {
      out += code;
    } else {
      for (char32_t part : found->second) decompose(part, out);
    }
  }

  // 0 if the two do not compose.
  char32_t compose(char32_t first, char32_t second) const {
    if (first >= kLeads && first < kLeads + kLeadCount && second >= kVowels && second < kVowels + kVowelCount)
      return kSyllables + ((first - kLeads) * kVowelCount + second - kVowels) * kTailCount;
    const char32_t index = first - kSyllables;
    if (first >= kSyllables && index < kLeadCount * kVowelCount * kTailCount && index % kTailCount == 0 &&
        second > kTails && second < kTails + kTailCount)
      return first + second - kTails;
    const auto found = compositions_.find({first, second});
    return found == compositions_.end() ? 0 : found->second;
  }

 private:
  std::map<char32_t, std::u32string> decompositions_;
  std::map<std::pair<char32_t, char32_t>, char32_t> compositions_;
  std::map<char32_t, std::pair<char32_t, int>> classes_;  // by the last of a range
};

const Normalizer& normalizer() {
  static const Normalizer instance;
  return instance;
}

// Grapheme_Cluster_Break, reduced to what the rules below ask.
enum class Break {
  kOther,
  kControl,
  kCr,
  kLf,
  kExtend,
  kJoiner,
  kSpacing,
  kPrepend,
  kLead,
  kVowel,
  kTail,
  kLv,
  kLvt,
  kFlag
};

Break break_of(char32_t code) {
  static const CodeRanges extend(kGraphemeExtend), spacing(kGraphemeSpacingMark), prepend(kGraphemePrepend),
      control(kGraphemeControl);
  if (code == '\r') return Break::kCr;
  if (code == '\n') return Break::kLf;
  if (code < 0x20) return Break::kControl;
  if (code < 0x7f) return Break::kOther;
  if (code == 0x200d) return Break::kJoiner;
  if (code >= 0x1f1e6 && code <= 0x1f1ff) return Break::kFlag;
  if ((code >= 0x1100 && code <= 0x115f) || (code >= 0xa960 && code <= 0xa97c)) return Break::kLead;
  if ((code >= 0x1160 && code <= 0x11a7) || (code >= 0xd7b0 && code <= 0xd7c6)) return Break::kVowel;
  if ((code >= 0x11a8 && code <= 0x11ff) || (code >= 0xd7cb && code <= 0xd7fb)) return Break::kTail;
  if (code >= 0xac00 && code <= 0xd7a3) return (code - 0xac00) % 28 == 0 ? Break::kLv : Break::kLvt;
  if (control.has(code)) return Break::kControl;
  if (extend.has(code)) return Break::kExtend;
  if (spacing.has(code)) return Break::kSpacing;
  return prepend.has(code) ? Break::kPrepend : Break::kOther;
}

bool is_control(Break b) {
  return b == Break::kControl || b == Break::kCr || b == Break::kLf;
}

// Rules GB3 to GB9b; emoji and flags are handled by the caller.
bool joined(Break left, Break right) {
  if (left == Break::kCr && right == Break::kLf) return true;
  if (is_control(left) || is_control(right)) return false;
  if (left == Break::kLead &&
      (right == Break::kLead || right == Break::kVowel || right == Break::kLv || right == Break::kLvt))
    return true;
  if ((left == Break::kLv || left == Break::kVowel) && (right == Break::kVowel || right == Break::kTail))
    return true;
  if ((left == Break::kLvt || left == Break::kTail) && right == Break::kTail) return true;
  return right == Break::kExtend || right == Break::kJoiner || right == Break::kSpacing ||
         left == Break::kPrepend;
}

}  // namespace

CodeRanges::CodeRanges(std::string_view table) {
  for_each_item(table, [&](std::string_view item) { ranges_.push_back(parse_range(item)); });
}

bool CodeRanges::has(char32_t code) const {
  const auto above = std::upper_bound(ranges_.begin(), ranges_.end(), code,
                                      [](char32_t c, const auto& range) { return c < range.first; });
  return above != ranges_.begin() && code <= std::prev(above)->second;
}

std::map<char32_t, CodeText> parse_code_texts(std::string_view table) {
  std::map<char32_t, CodeText> out;
  for_each_item(table, [&](std::string_view item) {
    const size_t sign = item.find_first_of("=>");
    CodeText text{.sign = item[sign], .text = {}};
    for (size_t at = sign; at != std::string_view::npos; at = item.find('+', at + 1)) {
      const size_t end = std::min(item.find('+', at + 1), item.size());
      text.text += hex(item.substr(at + 1, end - at - 1));
    }
    out[hex(item.substr(0, sign))] = std::move(text);
  });
  return out;
}

std::pair<char32_t, size_t> decode_utf8_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> uint32_t {
    return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0;
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (bytes == 0) return {0, 0};
  uint32_t code = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {0, 0};
  return {code, bytes};
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const auto [code, bytes] = decode_utf8_at(text, at);
    if (bytes == 0)
      throw Error({.what = fmt::format("byte {} of the text (0x{:02x}) is no valid UTF-8", at,
                                       static_cast<uint8_t>(text[at])),
                   .where = "text",
                   .hint = "save the text as UTF-8"});
    out += code;
    at += bytes;
  }
  return out;
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](uint32_t bits) { out += static_cast<char>(bits); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)),
        put(0x80 | (code & 0x3f));
  }
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  for (char32_t code : text) append_utf8(out, code);
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_python_space(char32_t code) {
  return is_white_space(code) || (code >= 0x1c && code <= 0x1f);
}

bool is_word(char32_t code) {
  static const CodeRanges words(kWords);
  return code == '_' || words.has(code);
}

std::u32string to_standard_width(std::u32string_view text) {
  static const std::map<char32_t, CodeText> widths = parse_code_texts(kWidths);
  std::u32string out;
  for (char32_t code : text) {
    const auto found = code < 0x3000 ? widths.end() : widths.find(code);
    found == widths.end() ? out += code : out += found->second.text;
  }
  return out;
}

std::u32string to_nfc(std::u32string_view text) {
  const Normalizer& n = normalizer();
  std::u32string parts;
  for (char32_t code : text) n.decompose(code, parts);
  for (size_t begin = 0; begin < parts.size();) {
    size_t end = begin + 1;
    if (n.combining_class(parts[begin]) != 0) {
      while (end < parts.size() && n.combining_class(parts[end]) != 0) ++end;
      std::stable_sort(parts.begin() + static_cast<std::ptrdiff_t>(begin),
                       parts.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](char32_t a, char32_t b) { return n.combining_class(a) < n.combining_class(b); });
    }
    begin = end;
  }
  std::u32string out;
  size_t starter = std::u32string::npos;  // in out
  int last_class = -1;                    // of the last character kept after the starter
  for (char32_t code : parts) {
    const int own = n.combining_class(code);
    const char32_t both =
        starter != std::u32string::npos && last_class < own ? n.compose(out[starter], code) : 0;
    if (both != 0) {
      out[starter] = both;
      continue;
    }
    if (own == 0) starter = out.size();
    last_class = own == 0 ? -1 : own;
    out += code;
  }
  return out;
}

size_t grapheme_end(std::u32string_view text, size_t begin) {
  static const CodeRanges pictographic(kPictographic);
  Break left = break_of(text[begin]);
  size_t flags = left == Break::kFlag ? 1 : 0;
  // Emoji, then any number of extenders, then a joiner: the next emoji joins (GB11).
  bool emoji = pictographic.has(text[begin]), emoji_joined = false;
  size_t end = begin + 1;
  for (; end < text.size(); ++end) {
    const Break right = break_of(text[end]);
    const bool flag_pair = left == Break::kFlag && right == Break::kFlag && flags % 2 == 1;
    const bool picture = pictographic.has(text[end]);
    if (!joined(left, right) && !flag_pair && !(emoji_joined && picture)) break;
    emoji_joined = emoji && right == Break::kJoiner;
    if (right != Break::kExtend) emoji = picture;
    if (right == Break::kFlag) ++flags;
    left = right;
  }
  return end;
}

}  // namespace wanslim
