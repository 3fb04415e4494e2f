// SPDX-License-Identifier: Apache-2.0
// Include and exclude patterns of a recipe, matched as the reference matches them: wcmatch.fnmatch with BRACE
// (spec msmodelslim 2.7). A pattern is held against the whole official layer path ("blocks.0.self_attn.q"),
// case-sensitive; a name equal to the pattern always matches.
//   *        any characters, dots included; never the first dot of a name that starts with one
//   ?        one character
//   [a-z]    one of a set; [!a] and [^a] negate; [[:alpha:]] and the other POSIX classes (ASCII)
//   \x       x itself
//   {a,b}    alternatives, {0..4} ranges: braces.h; more than 1000 expansions are an Error
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wanslim {

// A compiled pattern. Throws Error if its braces expand beyond the limit.
class LayerPattern {
 public:
  explicit LayerPattern(std::string_view pattern);

  bool matches(std::string_view name) const;
  const std::string& text() const { return text_; }

 private:
  struct Token {
    enum class Kind : uint8_t { kCharacter, kAny, kStar, kSet } kind;
    char32_t character = 0;
    bool negated = false;
    std::vector<std::pair<char32_t, char32_t>> ranges = {};
  };
  using Glob = std::vector<Token>;

  static Glob compile(std::u32string_view pattern);
  static bool read_set(std::u32string_view pattern, size_t& at, Token& token);
  static bool accepts(const Token& token, char32_t c);
  static bool matches(const Glob& glob, std::u32string_view name);

  std::string text_;
  std::vector<Glob> globs_;
};

// The include and exclude lists of one step. Remembers which patterns matched something.
class LayerSelection {
 public:
  LayerSelection(std::span<const std::string> include, std::span<const std::string> exclude);

  // In `include` and not in `exclude`.
  bool selects(std::string_view name);

  // Patterns that matched no name so far, other than "*", in the order of the lists.
  std::vector<std::string> unmatched_include() const { return unmatched(include_); }
  std::vector<std::string> unmatched_exclude() const { return unmatched(exclude_); }

 private:
  struct Entry {
    LayerPattern pattern;
    bool used = false;
  };
  static bool any(std::vector<Entry>& entries, std::string_view name);
  static std::vector<std::string> unmatched(const std::vector<Entry>& entries);

  std::vector<Entry> include_, exclude_;
};

// One question without memory.
bool select(std::span<const std::string> include, std::span<const std::string> exclude,
            std::string_view name);

}  // namespace wanslim
