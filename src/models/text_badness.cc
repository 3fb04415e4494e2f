// SPDX-License-Identifier: Apache-2.0
// Which neighbouring characters give mojibake away. Classes and rules are those of ftfy 6.3
// (ftfy/badness.py).
#include "models/text_badness.h"

#include <array>
#include <unordered_map>

#include "models/text_unicode.h"

namespace wanslim {
namespace {

enum Class : uint32_t {
  kC1 = 1 << 0,
  kCommon = 1 << 1,
  kBad = 1 << 2,
  kLaw = 1 << 3,
  kCurrency = 1 << 4,
  kOpening = 1 << 5,  // punctuation at the start of something
  kClosing = 1 << 6,
  kNumeric = 1 << 7,
  kFace = 1 << 8,  // letters that emoticons are made of
  kUpper = 1 << 9,
  kLower = 1 << 10,
  kUpperCommon = 1 << 11,
  kLowerCommon = 1 << 12,
  kBox = 1 << 13,
  kAsciiUpper = 1 << 14,
  kAsciiLower = 1 << 15,
  kSpace = 1 << 16,
  kNoAsciiLetter = 1 << 17,
  kNoNewline = 1 << 18,
  kWord = 1 << 19,
};
constexpr uint32_t kAccented = kUpper | kLower, kAscii = kAsciiUpper | kAsciiLower;
constexpr uint32_t kMarks = kBox | kOpening | kClosing | kCurrency | kNumeric | kLaw;

constexpr struct {
  uint32_t bit;
  const char* codes;
} kClasses[] = {
    {kC1, "80-9F"},
    {kCommon, "A0 AD B4 B7 2013-2015 2019 2026"},
    {kBad, "A4 A6 A8 AA AC AF B8 BA 192 2C6-2C7 2D8 2DB-2DC 2020-2021 2030 2310 25CA FFFD"},
    {kLaw, "A7 B6"},
    {kCurrency, "A2-A3 A5 20A7 20AC"},
    {kOpening, "A1 A9 AB BF 384-385 2018 201A 201C 201E 2022 2039 F8FF"},
    {kClosing, "AE BB 2DD 201D 203A 2122"},
    {kNumeric,
     "B1-B3 B5 B9 BC-BE D7 F7 2044 2116 2202 2206 220F 2211 221A 221E 2229 222B 2248 2260-2261 2264-2265"},
    {kFace, "B0 D2-D6 D9-DC F2-F6 F8-FC 14C 150 16A 172"},
    {kUpper,
     "C0-D1 D8 DC-DD 100 102 104 106 10C 10E 110 112 116 118 11A 11E 122 12A 130 136 139 13B 13D 141 143 145 "
     "147 152 158 15A 15E 160 162 164 16E 170 178-179 17B 17D 490"},
    {kLower,
     "DF-F1 FC 101 103 105 107 10D 10F 111 113 117 119 11B 11F 123 12B 12F 137 13A 13C 13E 142 153 155 15B "
     "15F "
     "161 165 17A 17C 17E 491 FB01-FB02"},
    {kUpperCommon, "DE 386 388-38A 38C 38E-38F 391-3AB 401-42F"},
    {kLowerCommon, "3AC-3C9 430-45F"},
    {kBox, "2502 250C 2510 2518 251C 2524 252C 253C 2550-256C 2580 2584 2588 258C 2590-2593"},
    {kAsciiUpper, "41-5A"},
    {kAsciiLower, "61-7A"},
};

// A character of one of the classes, or one of `also`.
struct Place {
  uint32_t classes = 0;
  std::u32string_view also = {};
};
struct Rule {
  std::array<Place, 7> places = {};
  int size = 0;
  bool at_start = false;
};

template <class... P>
constexpr Rule rule(P... places) {
  return {.places = {places...}, .size = sizeof...(P), .at_start = false};
}
constexpr Place is(uint32_t classes, std::u32string_view also = U"") {
  return {classes, also};
}
constexpr Place is(std::u32string_view also) {
  return {0, also};
}

constexpr uint32_t kAround = kC1 | kBad | kOpening | kClosing | kCurrency;
constexpr uint32_t kArabicTail = kCommon | kCurrency | kBad | kNumeric | kOpening;
constexpr std::u32string_view kArabicAlso = U"ŸŠ®°µ»";

constexpr Rule kRules[] = {
    rule(is(kC1)),
    rule(is(kBad | kAccented | kMarks), is(kBad)),
    rule(is(kAscii), is(kLowerCommon | kUpperCommon), is(kBad)),
    rule(is(kBad), is(kAccented | kMarks)),
    rule(is(kLower | kLowerCommon | kBox | kClosing | kCurrency | kNumeric), is(kUpper)),
    rule(is(kBox | kClosing | kCurrency | kNumeric), is(kLower)),
    rule(is(kLower | kBox | kClosing), is(kCurrency)),
    rule(is(kSpace), is(kUpper), is(kCurrency)),
    rule(is(kUpper | kBox), is(kNumeric | kLaw)),
    rule(is(kAccented | kBox | kCurrency | kClosing), is(kOpening), is(kNumeric)),
    rule(is(kAccented | kCurrency | kNumeric | kBox | kLaw), is(kClosing), is(kOpening)),
    rule(is(kCurrency | kNumeric | kBox), is(kOpening)),
    rule(is(kAsciiLower), is(kUpper), is(kOpening | kCurrency)),
    rule(is(kBox), is(kFace)),
    rule(is(kAccented | kCurrency | kNumeric | kOpening | kClosing | kLaw), is(kBox)),
    rule(is(kBox), is(kClosing)),
    rule(is(kAccented), is(kOpening | kClosing), is(kWord)),
    // The ligature oe but before a plain Latin letter; a degree sign after a capital.
    rule(is(U"Œœ"), is(kNoAsciiLetter)),
    rule(is(kUpper), is(U"°")),
    // Windows-1252: pairs not covered yet, Arabic words, lead bytes of South Asian alphabets.
    rule(is(U"ÂÃÎÐ"), is(kOpening | kClosing, U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´")),
    rule(is(U"×"), is(U"²³")),
    rule(is(U"ØÙ"), is(kArabicTail, kArabicAlso), is(U"ØÙ"), is(kArabicTail, kArabicAlso)),
    rule(is(U"à"), is(U"²µ¹¼½¾")),
    // Mac Roman.
    rule(is(U"√"), is(U"±∂†≠®™´≤≥¥µø")),
    rule(is(U"≈"), is(U"°¢")),
    rule(is(U"‚"), is(U"Ä"), is(U"ìîïòôúùû†°¢π")),
    rule(is(U"‚"), is(U"âó"), is(U"àä°ê")),
    // Windows-1251: U+2000 and on, Latin-1 or Cyrillic, and on top of Windows-1252.
    rule(is(U"в"), is(U"Ђ")),
    rule(is(U"ВГРС"), is(kAround, U"°µ"), is(U"ВГРС")),
    rule(is(U"Г"), is(U"ў"), is(U"В"), is(U"Ђ"), is(U"В"), is(kNoNewline), is(kAscii, U" ")),
    // Windows-1252 of a with grave or acute and of the no-break space; A with circumflex before its like.
    rule(is(U"Ã"), is(U"\u00a0¡")),
    rule(is(kAsciiLower), is(U"ÃÂ"), is(U" ")),
    rule(is(kAsciiLower), is(kSpace), is(U"ÃÂ"), is(U" ")),
    {.places = {is(U"ÃÂ"), is(U" ")}, .size = 2, .at_start = true},
    rule(is(kAsciiLower | kClosing, U".,?!"), is(U"Â"), is(kOpening | kClosing, U" ")),
    // Windows-1253: U+2000 and on, Latin-1 or Greek. Windows-1257: U+2000 and on.
    rule(is(U"β"), is(U"€"), is(U"™\u00a0Ά\u00ad®°")),
    rule(is(U"ΒΓΞΟ"), is(kAround, U"°"), is(U"ΒΓΞΟ")),
    rule(is(U"ā"), is(U"€")),
};

const std::unordered_map<char32_t, uint32_t>& class_table() {
  static const std::unordered_map<char32_t, uint32_t> table = [] {
    std::unordered_map<char32_t, uint32_t> out;
    for (const auto& row : kClasses) {
      const CodeRanges codes(row.codes);
      for (char32_t code = 0x40; code < 0x10000; ++code) {
        if (codes.has(code)) out[code] |= row.bit;
      }
    }
    return out;
  }();
  return table;
}

bool fits(const Place& place, char32_t code) {
  if (place.also.find(code) != std::u32string_view::npos) return true;
  const auto found = class_table().find(code);
  const uint32_t classes = found == class_table().end() ? 0 : found->second;
  if ((classes & place.classes) != 0) return true;
  if ((place.classes & kSpace) != 0 && is_python_space(code)) return true;
  if ((place.classes & kNoAsciiLetter) != 0) return (classes & kAscii) == 0;
  if ((place.classes & kNoNewline) != 0) return code != '\n';
  return (place.classes & kWord) != 0 && is_word(code);
}

bool matches(const Rule& rule, std::u32string_view text, size_t at) {
  if (text.size() - at < static_cast<size_t>(rule.size) || (rule.at_start && at != 0)) return false;
  for (int i = 0; i < rule.size; ++i) {
    if (!fits(rule.places[static_cast<size_t>(i)], text[at + static_cast<size_t>(i)])) return false;
  }
  return true;
}

}  // namespace

bool looks_like_mojibake(std::u32string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    for (const Rule& rule : kRules) {
      if (matches(rule, text, at)) return true;
    }
  }
  return false;
}

}  // namespace wanslim
