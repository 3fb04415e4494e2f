// SPDX-License-Identifier: Apache-2.0
#include "config/braces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/error.h"

namespace wanslim {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kNone = std::string_view::npos;
constexpr size_t kMaxLength = 4096;  // of a pattern: bounds the recursion

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_range_dots(std::string_view text, size_t i) {
  return text.compare(i, 2, "..") == 0 && (i + 2 >= text.size() || text[i + 2] != '}');
}

// The place of `wanted` outside nested groups, from `i` on, or kNone. A '}' counts only if a top-level comma
// or range stands before it.
size_t find_outside(std::string_view text, size_t i, char wanted) {
  size_t level = 0;
  bool separated = wanted != '}';
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '$' && i + 1 < text.size() && text[i + 1] == '{') {
      if (wanted != '{') ++level;
      ++i;
    } else if (c == wanted && level == 0 && separated) {
      const bool empty_group = c == '{' && i == 0 && text.size() > 1 && text[1] == '}';
      if (!empty_group) return i;
    } else if (c == '{') {
      ++level;
    } else if (c == '}' && level > 0) {
      --level;
    } else if (level == 0 && (c == ',' || is_range_dots(text, i))) {
      separated = true;
    }
  }
  return kNone;
}

// One operand of a range, as written.
struct Operand {
  int64_t value = 0;
  size_t width = 0;     // characters, sign included
  bool padded = false;  // has a leading zero
};

std::optional<Operand> parse_operand(std::string_view text) {
  Operand out{.value = 0, .width = text.size()};
  const bool plus = !text.empty() && text[0] == '+', minus = !text.empty() && text[0] == '-';
  const std::string_view digits = text.substr(plus || minus ? 1 : 0);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return {};
  out.padded = digits.size() > 1 && digits[0] == '0' && !plus;
  const std::string_view number = plus ? digits : text;
  const std::from_chars_result r = std::from_chars(number.data(), number.data() + number.size(), out.value);
  if (r.ec != std::errc()) return {};
  return out;
}

void check_limit(size_t count, size_t limit) {
  if (count <= limit) return;
  throw Error({.what = fmt::format("the braces of the pattern expand to more than {} patterns", limit),
               .hint = "use * or [0-9] instead, or several patterns"});
}

// first, first +- step, ... last. Unsigned arithmetic: the distance of two 64-bit integers fits.
template <class Make>
Words count_up(int64_t first, int64_t last, uint64_t step, size_t limit, Make make) {
  const bool up = first < last;
  const uint64_t distance = up ? static_cast<uint64_t>(last) - static_cast<uint64_t>(first)
                               : static_cast<uint64_t>(first) - static_cast<uint64_t>(last);
  const uint64_t steps = distance / step;
  check_limit(steps >= limit ? limit + 1 : static_cast<size_t>(steps) + 1, limit);
  Words out;
  for (uint64_t k = 0; k <= steps; ++k) {
    const uint64_t offset = k * step;
    out.push_back(make(static_cast<int64_t>(static_cast<uint64_t>(first) + (up ? offset : 0 - offset))));
  }
  return out;
}

std::string padded_number(int64_t value, size_t width) {
  return fmt::format("{:0{}d}", value, width);
}

// The letters of {A..z} go through the signs between Z and a; a lone backslash would escape what follows.
std::string letter(int64_t c) {
  return c == '\\' ? std::string() : std::string(1, static_cast<char>(c));
}

// "1..9", "a..e", "0..10..2": their words, or empty if the text is no such range.
std::optional<Words> expand_range(std::string_view body, size_t limit) {
  const size_t dots = body.find("..");
  if (dots == kNone) return {};
  std::string_view first = body.substr(0, dots), rest = body.substr(dots + 2);
  const size_t more = rest.find("..");
  const std::string_view last = rest.substr(0, more);
  uint64_t step = 1;
  if (more != kNone) {
    std::string_view by = rest.substr(more + 2);
    if (!by.empty() && (by[0] == '-' || by[0] == '+')) by.remove_prefix(1);
    if (by.empty() || !is_digit(by[0])) return {};
    const std::optional<Operand> parsed = parse_operand(by);
    if (!parsed) return {};
    step = static_cast<uint64_t>(std::max<int64_t>(parsed->value, 1));
  }
  if (first.size() == 1 && last.size() == 1 && is_letter(first[0]) && is_letter(last[0])) {
    return count_up(first[0], last[0], step, limit, letter);
  }
  const std::optional<Operand> a = parse_operand(first), b = parse_operand(last);
  if (!a || !b) return {};
  const size_t width = a->padded || b->padded ? std::max(a->width, b->width) : 0;
  return count_up(a->value, b->value, step, limit, [width](int64_t v) { return padded_number(v, width); });
}

Words expand(std::string_view text, size_t limit);

// "a,b{1,2},c": the expansions of each part.
Words expand_parts(std::string_view body, size_t limit) {
  Words out;
  while (true) {
    const size_t comma = find_outside(body, 0, ',');
    for (std::string& word : expand(body.substr(0, comma), limit)) out.push_back(std::move(word));
    check_limit(out.size(), limit);
    if (comma == kNone) return out;
    body.remove_prefix(comma + 1);
  }
}

// bash's loose test of a range: both ends start like a number, or both are a letter.
bool looks_like_range(std::string_view body) {
  const size_t dots = body.find("..");
  if (dots == kNone || dots == 0) return false;
  const auto kind = [](std::string_view text, std::string_view after_letter) {
    const bool has_sign = !text.empty() && (text[0] == '+' || text[0] == '-');
    if (text.size() > (has_sign ? 1u : 0u) && is_digit(text[has_sign ? 1 : 0])) return 1;
    const bool ends = text.size() == 1 || (text.size() > 1 && after_letter.find(text[1]) != kNone);
    return !text.empty() && is_letter(text[0]) && ends ? 2 : 0;
  };
  const int first = kind(body, "."), last = kind(body.substr(dots + 2), ".}");
  return first != 0 && first == last;
}

struct Group {
  size_t open = 0, close = 0;
  Words words = {};
};

// The group of `text` that is expanded first.
std::optional<Group> first_group(std::string_view text, size_t limit) {
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t open = find_outside(text, i, '{');
    if (open == kNone) return {};
    const size_t close = find_outside(text, open + 1, '}');
    i = open;
    if (close == kNone) continue;
    const std::string_view body = text.substr(open + 1, close - open - 1);
    if (find_outside(body, 0, ',') != kNone) return Group{open, close, expand_parts(body, limit)};
    std::optional<Words> range = expand_range(body, limit);
    if (range) return Group{open, close, std::move(*range)};
    // Kept as text with all that is in it, if it was meant to be a range; else only the brace is text.
    if (looks_like_range(body)) return Group{open, close, {std::string(text.substr(open, close - open + 1))}};
  }
  return {};
}

Words product(const Words& heads, const Words& tails, size_t limit) {
  check_limit(heads.size() * tails.size(), limit);
  Words out;
  out.reserve(heads.size() * tails.size());
  for (const std::string& head : heads) {
    for (const std::string& tail : tails) out.push_back(head + tail);
  }
  return out;
}

Words expand(std::string_view text, size_t limit) {
  Words out = {""};
  while (true) {
    std::optional<Group> group = first_group(text, limit);
    if (!group) return product(out, {std::string(text)}, limit);
    for (std::string& word : group->words) word.insert(0, text.substr(0, group->open));
    out = product(out, group->words, limit);
    text.remove_prefix(group->close + 1);
  }
}

}  // namespace

std::vector<std::string> expand_braces(std::string_view text, size_t limit) {
  if (text.size() > kMaxLength) {
    throw Error(
        {.what = fmt::format("a pattern of {} bytes, at most {} are allowed", text.size(), kMaxLength)});
  }
  return expand(text, limit);
}

}  // namespace wanslim
