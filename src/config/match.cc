// SPDX-License-Identifier: Apache-2.0
#include "config/match.h"

#include <algorithm>

#include "base/utf8.h"
#include "config/braces.h"

namespace wanslim {
namespace {

using Ranges = std::vector<std::pair<char32_t, char32_t>>;

struct PosixRow {
  std::u32string_view name;
  Ranges ranges;
};

const std::vector<PosixRow>& posix_classes() {
  static const std::vector<PosixRow> kRows = {
      {U"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
      {U"alpha", {{'A', 'Z'}, {'a', 'z'}}},
      {U"ascii", {{0, 0x7F}}},
      {U"blank", {{'\t', '\t'}, {' ', ' '}}},
      {U"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
      {U"digit", {{'0', '9'}}},
      {U"graph", {{'!', '~'}}},
      {U"lower", {{'a', 'z'}}},
      {U"print", {{' ', '~'}}},
      {U"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
      {U"space", {{'\t', '\r'}, {' ', ' '}}},
      {U"upper", {{'A', 'Z'}}},
      {U"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
      {U"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
  };
  return kRows;
}

// "[:alpha:]" at `at`: moves over it and returns its ranges; empty if there is none.
Ranges read_posix(std::u32string_view pattern, size_t& at) {
  if (pattern.compare(at, 2, U"[:") != 0) return {};
  const size_t end = pattern.find(U":]", at + 2);
  if (end == std::u32string_view::npos) return {};
  const std::u32string_view name = pattern.substr(at + 2, end - at - 2);
  for (const PosixRow& row : posix_classes()) {
    if (row.name != name) continue;
    at = end + 2;
    return row.ranges;
  }
  return {};
}

}  // namespace

LayerPattern::LayerPattern(std::string_view pattern) : text_(pattern) {
  std::vector<std::string> words = expand_braces(pattern);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (const std::string& word : words) {
    if (!word.empty()) globs_.push_back(compile(utf8_to_code_points(word)));  // no name is empty
  }
}

// Reads "[...]" at `at` into `token` and moves behind it; false if it is not closed.
// A reversed range ([z-a]) holds nothing; "-" is literal first, last, after a range and beside a class.
bool LayerPattern::read_set(std::u32string_view p, size_t& at, Token& token) {
  token.kind = Token::Kind::kSet;
  size_t i = at + 1;
  if (i < p.size() && (p[i] == '!' || p[i] == '^')) {
    token.negated = true;
    ++i;
  }
  bool first = true, can_start_range = false;
  while (true) {
    if (i >= p.size()) return false;
    if (p[i] == ']' && !first) break;
    first = false;
    if (p[i] == '[') {
      const Ranges posix = read_posix(p, i);
      if (!posix.empty()) {
        token.ranges.insert(token.ranges.end(), posix.begin(), posix.end());
        can_start_range = false;
        continue;
      }
    }
    const bool range =
        p[i] == '-' && can_start_range && i + 1 < p.size() && p[i + 1] != ']' && !(p[i + 1] == '[' && [&] {
          size_t k = i + 1;
          return !read_posix(p, k).empty();
        }());
    if (range) ++i;
    if (p[i] == '\\' && ++i >= p.size()) return false;
    const char32_t c = p[i++];
    if (range) {
      const char32_t low = token.ranges.back().first;
      token.ranges.pop_back();
      if (low <= c) token.ranges.emplace_back(low, c);
    } else {
      token.ranges.emplace_back(c, c);
    }
    can_start_range = !range;
  }
  at = i + 1;
  return true;
}

LayerPattern::Glob LayerPattern::compile(std::u32string_view p) {
  Glob out;
  bool sets_close = true;  // once a "[" was found without its "]", the later ones have none either
  for (size_t i = 0; i < p.size();) {
    Token token{.kind = Token::Kind::kCharacter, .character = p[i]};
    if (p[i] == '[' && sets_close) {
      size_t end = i;
      Token set{.kind = Token::Kind::kSet};
      sets_close = read_set(p, end, set);
      if (sets_close) {
        i = end;
        out.push_back(std::move(set));
        continue;
      }
    } else if (p[i] == '*') {
      token.kind = Token::Kind::kStar;
    } else if (p[i] == '?') {
      token.kind = Token::Kind::kAny;
    } else if (p[i] == '\\') {
      if (++i >= p.size()) break;  // it escapes nothing
      token.character = p[i];
    }
    ++i;
    if (token.kind == Token::Kind::kStar && !out.empty() && out.back().kind == Token::Kind::kStar) continue;
    out.push_back(std::move(token));
  }
  return out;
}

bool LayerPattern::accepts(const Token& token, char32_t c) {
  switch (token.kind) {
    case Token::Kind::kCharacter:
      return token.character == c;
    case Token::Kind::kAny:
      return true;
    case Token::Kind::kStar:
      return false;
    case Token::Kind::kSet: {
      const bool inside = std::any_of(token.ranges.begin(), token.ranges.end(), [c](const auto& range) {
        return range.first <= c && c <= range.second;
      });
      return inside != token.negated;
    }
  }
  return false;
}

// Greedy with one point of return, the last star: quadratic at worst.
bool LayerPattern::matches(const Glob& glob, std::u32string_view name) {
  const bool wild_start = !glob.empty() && glob[0].kind != Token::Kind::kCharacter;
  if (wild_start && (name.empty() || name[0] == '.')) return false;
  size_t g = 0, n = 0, star = glob.size(), resume = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g].kind == Token::Kind::kStar) {
      star = g++;
      resume = n;
    } else if (g < glob.size() && accepts(glob[g], name[n])) {
      ++g;
      ++n;
    } else if (star < glob.size()) {
      g = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g].kind == Token::Kind::kStar) ++g;
  return g == glob.size();
}

bool LayerPattern::matches(std::string_view name) const {
  if (name == text_) return true;
  const std::u32string points = utf8_to_code_points(name);
  return std::any_of(globs_.begin(), globs_.end(), [&](const Glob& glob) { return matches(glob, points); });
}

LayerSelection::LayerSelection(std::span<const std::string> include, std::span<const std::string> exclude) {
  for (const std::string& pattern : include) include_.push_back({LayerPattern(pattern)});
  for (const std::string& pattern : exclude) exclude_.push_back({LayerPattern(pattern)});
}

// Looks at every pattern, so that each one that matches is known to have matched.
bool LayerSelection::any(std::vector<Entry>& entries, std::string_view name) {
  bool found = false;
  for (Entry& entry : entries) {
    if (found && entry.used) continue;
    if (!entry.pattern.matches(name)) continue;
    entry.used = found = true;
  }
  return found;
}

bool LayerSelection::selects(std::string_view name) {
  const bool included = any(include_, name), excluded = any(exclude_, name);
  return included && !excluded;
}

std::vector<std::string> LayerSelection::unmatched(const std::vector<Entry>& entries) {
  std::vector<std::string> out;
  for (const Entry& entry : entries) {
    if (!entry.used && entry.pattern.text() != "*") out.push_back(entry.pattern.text());
  }
  return out;
}

bool select(std::span<const std::string> include, std::span<const std::string> exclude,
            std::string_view name) {
  const auto in = [name](const std::string& pattern) { return LayerPattern(pattern).matches(name); };
  return std::any_of(include.begin(), include.end(), in) && std::none_of(exclude.begin(), exclude.end(), in);
}

}  // namespace wanslim
