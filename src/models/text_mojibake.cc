// SPDX-License-Identifier: Apache-2.0
#include "models/text_mojibake.h"

#include <algorithm>
#include <set>
#include <vector>

#include "models/text_badness.h"
#include "models/text_charsets.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

using std::u32string_view;

// A byte sequence with ranges for each place: "\xc2\xdf" is one range, "\x1a\x1a??" two of one byte each.
struct BytePattern {
  std::vector<std::string_view> places;

  bool matches(std::string_view bytes, size_t at) const {
    if (bytes.size() - at < places.size()) return false;
    for (size_t i = 0; i < places.size(); ++i) {
      const auto byte = static_cast<uint8_t>(bytes[at + i]);
      bool inside = false;
      for (size_t r = 0; r < places[i].size(); r += 2) {
        inside |=
            static_cast<uint8_t>(places[i][r]) <= byte && byte <= static_cast<uint8_t>(places[i][r + 1]);
      }
      if (!inside) return false;
    }
    return true;
  }
};

constexpr std::string_view kTail = "\x80\xbf";
constexpr std::string_view kSpace = "  ";
constexpr std::string_view kTailNoSpace = "\x80\x84\x86\x9f\xa1\xbf";  // neither next line nor no-break space
constexpr std::string_view kLost = "\x1a\x1a";
constexpr std::string_view kLostOrAsked = "\x1a\x1a??";
constexpr std::string_view kTailOrLost = "\x1a\x1a\x80\xbf";
constexpr std::string_view kAnyTail = "\x1a\x1a??\x80\xbf";

// UTF-8 but for a space where a no-break space was.
const BytePattern kSpaced[] = {
    {{"\xc2\xc3\xc5\xc5\xce\xce\xd0\xd0\xd9\xd9", kSpace}},
    {{"\xe2\xe3", kSpace, kTailNoSpace}},
    {{"\xe0\xe3", kTailNoSpace, kSpace}},
    {{"\xf0\xf0", kSpace, kTail, kTail}},
    {{"\xf0\xf0", kTail, kSpace, kTail}},
    {{"\xf0\xf0", kTail, kTail, kSpace}},
};

// UTF-8 and CESU-8 in which bytes were lost.
const BytePattern kLossy[] = {
    {{"\xc2\xdf", kLost}},
    {{"\xc2\xc3", "??"}},
    {{"\xed\xed", "\xa0\xaf", kLostOrAsked, "\xed\xed", "\xb0\xbf", kAnyTail}},
    {{"\xed\xed", "\xa0\xaf", kAnyTail, "\xed\xed", "\xb0\xbf", kLostOrAsked}},
    {{"\xe0\xef", kLostOrAsked, kTailOrLost}},
    {{"\xe0\xef", kTailOrLost, kLostOrAsked}},
    {{"\xf0\xf4", kLostOrAsked, kTailOrLost, kTailOrLost}},
    {{"\xf0\xf4", kTailOrLost, kLostOrAsked, kTailOrLost}},
    {{"\xf0\xf4", kTailOrLost, kTailOrLost, kLostOrAsked}},
    {{kLost}},
};

// Replaces every match, left to right, by replace(matched bytes).
template <size_t N, class F>
std::string replace_matches(const std::string& bytes, const BytePattern (&patterns)[N], F replace) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const auto* found = std::find_if(std::begin(patterns), std::end(patterns),
                                     [&](const BytePattern& p) { return p.matches(bytes, at); });
    if (found == std::end(patterns)) {
      out += bytes[at++];
    } else {
      out += replace(bytes.substr(at, found->places.size()));
      at += found->places.size();
    }
  }
  return out;
}

// "Ã la" was "à la": the word keeps a space, unless it is Portuguese "às", "àquele", "àquela" or "àquilo".
std::string restore_single_a_grave(const std::string& bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size(); ++at) {
    out += bytes[at];
    if (bytes[at] != '\xc3' || at + 1 == bytes.size() || bytes[at + 1] != ' ') continue;
    const std::string_view rest = std::string_view(bytes).substr(at + 2);
    if (rest.starts_with(' ') || rest.starts_with("quele") || rest.starts_with("quela") ||
        rest.starts_with("quilo") || rest.starts_with("s "))
      continue;
    out += '\xa0';
  }
  return out;
}

std::string restore_no_break_spaces(const std::string& bytes) {
  bool any = false;
  for (size_t at = 0; at < bytes.size() && !any; ++at) {
    for (const BytePattern& pattern : kSpaced) any |= pattern.matches(bytes, at);
  }
  if (!any) return bytes;
  return replace_matches(restore_single_a_grave(bytes), kSpaced, [](std::string match) {
    std::replace(match.begin(), match.end(), ' ', '\xa0');
    return match;
  });
}

// Strict UTF-8, and with `variants` Java's two-byte zero and surrogate pairs of three bytes each. False if
// not.
bool decode_variants(const std::string& bytes, bool variants, std::u32string& out) {
  const auto byte = [&](size_t i) {
    return i < bytes.size() ? static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) : 0;
  };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  for (size_t at = 0; at < bytes.size();) {
    if (variants && byte(at) == 0xc0 && byte(at + 1) == 0x80) {
      out += U'\0';
      at += 2;
      continue;
    }
    if (variants && byte(at) == 0xed && (byte(at + 1) & 0xf0) == 0xa0 && tail(at + 2) &&
        byte(at + 3) == 0xed && (byte(at + 4) & 0xf0) == 0xb0 && tail(at + 5)) {
      out += static_cast<char32_t>(0x10000 + ((byte(at + 1) & 0xf) << 16 | (byte(at + 2) & 0x3f) << 10 |
                                              (byte(at + 4) & 0xf) << 6 | (byte(at + 5) & 0x3f)));
      at += 6;
      continue;
    }
    const auto [code, size] = decode_utf8_at(bytes, at);
    if (size == 0) return false;
    out += code;
    at += size;
  }
  return true;
}

// What the bytes 0xc2.. of UTF-8 read as in the seven sets that are alike Latin-1.
struct Clues {
  std::set<char32_t> first_of_2, first_of_3, first_of_4, tail, strict_tail;

  Clues() {
    constexpr u32string_view kPunctuation = U"–—―‘’‚“”„•…";
    for (int set = 0; set < static_cast<int>(Charset::kIso8859_2); ++set) {
      for (int byte = 0x80; byte < 0x100; ++byte) {
        const char32_t code = decode_byte(static_cast<Charset>(set), static_cast<uint8_t>(byte));
        if (byte < 0xc0) tail.insert(code);
        if (byte < 0xc0 && kPunctuation.find(code) == u32string_view::npos) strict_tail.insert(code);
        if (byte >= 0xc2 && byte <= 0xdf) first_of_2.insert(code);
        if (byte >= 0xe0 && byte <= 0xef) first_of_3.insert(code);
        if (byte == 0xf0 || byte == 0xf3) first_of_4.insert(code);
      }
    }
    tail.insert(' ');  // a no-break space once
  }

  // Characters of the misread sequence at `at`; 0 if there is none.
  size_t sequence(u32string_view text, size_t at) const {
    const auto tails = [&](size_t count) {
      if (text.size() - at <= count) return false;
      for (size_t i = 1; i <= count; ++i) {
        if (tail.count(text[at + i]) == 0) return false;
      }
      return true;
    };
    if (first_of_2.count(text[at]) != 0 && tails(1)) return 2;
    if (first_of_3.count(text[at]) != 0 && tails(2)) return 3;
    if (first_of_4.count(text[at]) != 0 && tails(3)) return 4;
    return 0;
  }
};

// Repairs runs of misread sequences on their own, where the text as a whole is in no single set.
std::u32string repair_parts(u32string_view text) {
  static const Clues clues;
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    if (at == 0 || clues.strict_tail.count(text[at - 1]) == 0) {
      while (end < text.size()) {
        const size_t size = clues.sequence(text, end);
        if (size == 0) break;
        end += size;
      }
    }
    if (end == at) {
      out += text[at++];
      continue;
    }
    const u32string_view part = text.substr(at, end - at);
    if (part.size() < text.size() && looks_like_mojibake(part)) {
      out += repair_mojibake(part);
    } else {
      out += part;
    }
    at = end;
  }
  return out;
}

bool repair_whole(u32string_view text, Charset set, std::u32string& out) {
  auto encoded = encode(set, text);
  if (!encoded) return false;
  std::string bytes = std::move(*encoded);
  // Mac Roman's en dash and space would be taken for such a sequence.
  if (set != Charset::kMacRoman) bytes = restore_no_break_spaces(bytes);
  if (marks_lost_characters(set))
    bytes = replace_matches(bytes, kLossy, [](const std::string&) { return std::string("\xef\xbf\xbd"); });
  const bool variants = bytes.find('\xed') != std::string::npos || bytes.find('\xc0') != std::string::npos;
  return decode_variants(bytes, variants, out);
}

bool has_c1(u32string_view text) {
  return std::any_of(text.begin(), text.end(), [](char32_t c) { return c >= 0x80 && c <= 0x9f; });
}

std::u32string repair_once(u32string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; });
  if (ascii || !looks_like_mojibake(text)) return std::u32string(text);
  for (int set = 0; set < kCharsets; ++set) {
    std::u32string out;
    if (repair_whole(text, static_cast<Charset>(set), out)) return out;
  }
  const std::u32string parts = repair_parts(text);
  if (parts != text) return parts;
  // Latin-1 that should have been read as Windows-1252, or stray characters of the kind.
  return has_c1(text) ? replace_c1_controls(text) : parts;
}

}  // namespace

std::u32string repair_mojibake(u32string_view text) {
  std::u32string before(text);
  for (;;) {
    std::u32string after = repair_once(before);
    if (after == before) return after;
    before = std::move(after);
  }
}

std::u32string replace_c1_controls(u32string_view text) {
  std::u32string out;
  for (char32_t code : text) {
    out +=
        code >= 0x80 && code <= 0x9f ? decode_byte(Charset::kWindows1252, static_cast<uint8_t>(code)) : code;
  }
  return out;
}

}  // namespace wanslim
