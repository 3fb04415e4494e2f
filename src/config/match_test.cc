// SPDX-License-Identifier: Apache-2.0
#include "config/match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/braces.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Row {
  const char* pattern;
  const char* name;
  bool matches;
};

// What wcmatch 12.0.1, fnmatch(name, pattern, flags=BRACE), or equality says of each pair.
constexpr Row kRows[] = {
    {"*", "blocks.0.self_attn.q", true},
    {"*", "head.head", true},
    {"*", ".x", false},
    {"*", "a", true},
    {"*ffn.2*", "blocks.0.ffn.2", true},
    {"*ffn.2*", "blocks.0.ffn.20", true},
    {"*ffn.2*", "blocks.0.ffn.0", false},
    {"*ffn.2*", "ffn.2", true},
    {"*ffn.2*", "blocks.0.ffn.2.linear", true},
    {"ffn.2", "blocks.0.ffn.2", false},
    {"ffn.2", "ffn.2", true},
    {"*ffn.2", "blocks.0.ffn.2", true},
    {"*ffn.2", "blocks.0.ffn.20", false},
    {"*.ffn.?", "blocks.3.ffn.0", true},
    {"*.ffn.?", "blocks.3.ffn.10", false},
    {"blocks.0.*", "blocks.0.self_attn.q", true},
    {"blocks.0.*", "blocks.00.x", false},
    {"blocks.0.*", "blocks.0.", true},
    {"blocks.0.*", "blocks.0", false},
    {"blocks.*.q", "blocks.0.self_attn.q", true},
    {"blocks.*.q", "blocks.0.self_attn.q.x", false},
    {"blocks.*.q", "blocks..q", true},
    {"blocks.*.q", "blocks.q", false},
    {"blocks.{0,1}.self_attn.[qk]", "blocks.0.self_attn.q", true},
    {"blocks.{0,1}.self_attn.[qk]", "blocks.1.self_attn.k", true},
    {"blocks.{0,1}.self_attn.[qk]", "blocks.1.self_attn.v", false},
    {"blocks.{0,1}.self_attn.[qk]", "blocks.2.self_attn.q", false},
    {"*cross_attn*", "blocks.0.cross_attn.k_img", true},
    {"*cross_attn*", "blocks.0.self_attn.q", false},
    {"*.o", "blocks.0.self_attn.o", true},
    {"*.o", "blocks.0.self_attn.o2", false},
    {"*.o", "o", false},
    {"blocks.{0..4}.*", "blocks.0.ffn.0", true},
    {"blocks.{0..4}.*", "blocks.4.ffn.0", true},
    {"blocks.{0..4}.*", "blocks.5.ffn.0", false},
    {"blocks.{0..4}.*", "blocks.14.ffn.0", false},
    {"blocks.{0..8..2}.ffn.0", "blocks.6.ffn.0", true},
    {"blocks.{0..8..2}.ffn.0", "blocks.7.ffn.0", false},
    {"blocks.{0..8..2}.ffn.0", "blocks.8.ffn.0", true},
    {"blocks.{8..0..3}.q", "blocks.8.q", true},
    {"blocks.{8..0..3}.q", "blocks.5.q", true},
    {"blocks.{8..0..3}.q", "blocks.2.q", true},
    {"blocks.{8..0..3}.q", "blocks.0.q", false},
    {"x{01..10}", "x01", true},
    {"x{01..10}", "x1", false},
    {"x{01..10}", "x10", true},
    {"x{01..10}", "x010", false},
    {"x{1..010}", "x001", true},
    {"x{1..010}", "x010", true},
    {"x{1..010}", "x1", false},
    {"x{1..010}", "x10", false},
    {"x{-01..3}", "x-01", true},
    {"x{-01..3}", "x000", true},
    {"x{-01..3}", "x003", true},
    {"x{-01..3}", "x3", false},
    {"x{+1..3}", "x1", true},
    {"x{+1..3}", "x+1", false},
    {"x{+1..3}", "x3", true},
    {"x{+01..3}", "x1", true},
    {"x{+01..3}", "x01", false},
    {"x{-2..2}", "x-2", true},
    {"x{-2..2}", "x0", true},
    {"x{-2..2}", "x2", true},
    {"x{-2..2}", "x-0", false},
    {"{a..e}", "c", true},
    {"{a..e}", "f", false},
    {"{a..e}", "C", false},
    {"{a..e..2}", "c", true},
    {"{a..e..2}", "d", false},
    {"{a..e..2}", "e", true},
    {"{e..a}", "b", true},
    {"{A..z}", "_", true},
    {"{A..z}", "q", true},
    {"{A..z}", "0", false},
    {"{a..3}", "{a..3}", true},
    {"{a..3}", "a", false},
    {"{a..3}", "b", false},
    {"{1..a}", "{1..a}", true},
    {"{1..a}", "1", false},
    {"{a}", "a", false},
    {"{a}", "{a}", true},
    {"{a,b", "a", false},
    {"{a,b", "{a,b", true},
    {"a,b}", "a,b}", true},
    {"a,b}", "a", false},
    {"{}", "{}", true},
    {"{a,}b", "ab", true},
    {"{a,}b", "b", true},
    {"x{,y}", "x", true},
    {"x{,y}", "xy", true},
    {"{a,b}{c,d}", "ad", true},
    {"{a,b}{c,d}", "bc", true},
    {"{a,b}{c,d}", "ab", false},
    {"{a,{b,c}d}e", "ae", true},
    {"{a,{b,c}d}e", "bde", true},
    {"{a,{b,c}d}e", "cde", true},
    {"{a,{b,c}d}e", "be", false},
    {"{{a,b}", "{a", true},
    {"{{a,b}", "{b", true},
    {"{{a,b}", "a", false},
    {"{a,b}}", "a}", true},
    {"{a,b}}", "b}", true},
    {"{a,b}}", "a", false},
    {"{a,\\,}", "a", true},
    {"{a,\\,}", ",", true},
    {"{a,\\,}", "\\,", false},
    {"\\{a,b}", "{a,b}", true},
    {"\\{a,b}", "a", false},
    {"{a\\,b,c}", "a,b", true},
    {"{a\\,b,c}", "c", true},
    {"{a\\,b,c}", "a", false},
    {"${a,b}", "${a,b}", true},
    {"${a,b}", "$a", false},
    {"${a,b}", "a", false},
    {"{1..3}{1..3}", "13", true},
    {"{1..3}{1..3}", "31", true},
    {"{1..3}{1..3}", "33", true},
    {"{1..3}{1..3}", "4", false},
    {"{1..2..0}", "1", true},
    {"{1..2..0}", "2", true},
    {"{1..2..0}", "{1..2..0}", true},
    {"{1..5..-2}", "3", true},
    {"{1..5..-2}", "4", false},
    {"{1..5..-2}", "5", true},
    {"{9223372036854775808..9}", "{9223372036854775808..9}", true},
    {"{9223372036854775808..9}", "9", false},
    {"{..}", "{..}", true},
    {"{a..}", "{a..}", true},
    {"{1.2}", "1.2", false},
    {"{1.2}", "{1.2}", true},
    {"{a..b..c}", "{a..b..c}", true},
    {"{a..b..c}", "a", false},
    {"[abc]", "a", true},
    {"[abc]", "d", false},
    {"[abc]", "abc", false},
    {"[abc]", "[abc]", true},
    {"[!abc]", "a", false},
    {"[!abc]", "d", true},
    {"[!abc]", "!", true},
    {"[^abc]", "a", false},
    {"[^abc]", "d", true},
    {"[^abc]", "^", true},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[c-a]", "b", false},
    {"[c-a]", "a", false},
    {"[c-a]", "-", false},
    {"[!c-a]", "b", true},
    {"[!c-a]", "x", true},
    {"[]a]", "]", true},
    {"[]a]", "a", true},
    {"[]a]", "b", false},
    {"[!]a]", "]", false},
    {"[!]a]", "b", true},
    {"[a", "[a", true},
    {"[a", "a", false},
    {"a]", "a]", true},
    {"[-a]", "-", true},
    {"[-a]", "a", true},
    {"[-a]", "b", false},
    {"[a-]", "-", true},
    {"[a-]", "a", true},
    {"[a-]", "b", false},
    {"[a-c-e]", "-", true},
    {"[a-c-e]", "e", true},
    {"[a-c-e]", "d", false},
    {"[a\\-c]", "-", true},
    {"[a\\-c]", "b", false},
    {"[a\\-c]", "c", true},
    {"[\\]a]", "]", true},
    {"[\\]a]", "a", true},
    {"[\\]a]", "\\", false},
    {"[\\\\]", "\\", true},
    {"[\\\\]", "a", false},
    {"[\\", "[\\", true},
    {"[\\", "[", true},
    {"[[:alpha:]]", "q", true},
    {"[[:alpha:]]", "7", false},
    {"[[:alpha:]]", "_", false},
    {"[[:digit:]]", "7", true},
    {"[[:digit:]]", "q", false},
    {"[![:digit:]]", "7", false},
    {"[![:digit:]]", "q", true},
    {"[[:alnum:]_]", "_", true},
    {"[[:alnum:]_]", "z", true},
    {"[[:alnum:]_]", ".", false},
    {"[[:upper:]]", "Q", true},
    {"[[:upper:]]", "q", false},
    {"[[:xdigit:]]x", "Fx", true},
    {"[[:xdigit:]]x", "gx", false},
    {"[[:word:]]", "_", true},
    {"[[:word:]]", "-", false},
    {"[[:punct:]]", ".", false},
    {"[[:punct:]]", "a", false},
    {"[[:space:]]", " ", true},
    {"[[:space:]]", "a", false},
    {"[[:alpha:]", "[[:alpha:]", true},
    {"[[:alpha:]", "a", false},
    {"[[:alpha:]", ":", false},
    {"[:alpha:]", "a", true},
    {"[:alpha:]", ":", true},
    {"[:alpha:]", "b", false},
    {"[[:nope:]]", ":]", true},
    {"[[:nope:]]", "n]", true},
    {"[[:nope:]]", "n", false},
    {"[[:^alpha:]]", "1", false},
    {"[[:^alpha:]]", "a]", true},
    {"[a-[:digit:]]", "-", true},
    {"[a-[:digit:]]", "5", true},
    {"[a-[:digit:]]", "b", false},
    {"[[:digit:]-z]", "-", true},
    {"[[:digit:]-z]", "z", true},
    {"[[:digit:]-z]", "y", false},
    {"[[]", "[", true},
    {"[[]", "a", false},
    {"[*]", "*", true},
    {"[*]", "a", false},
    {"[?]", "?", true},
    {"[?]", "a", false},
    {"[.]x", ".x", false},
    {"[a]]", "a]", true},
    {"[a]]", "a", false},
    {"[]", "[]", true},
    {"[!]", "[!]", true},
    {"[!]", "a", false},
    {"[a-\\d]", "c", true},
    {"[a-\\d]", "d", true},
    {"[a-\\d]", "-", false},
    {"[!-]", "-", false},
    {"[!-]", "a", true},
    {"[--0]", "-", true},
    {"[--0]", ".", false},
    {"[--0]", "0", true},
    {"[--0]", "1", false},
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"a\\*b", "a*b", true},
    {"a\\*b", "axb", false},
    {"\\a", "a", true},
    {"\\a", "\\a", true},
    {"a\\", "a", true},
    {"a\\", "a\\", true},
    {"\\\\", "\\", true},
    {"\\\\", "\\\\", true},
    {"\\[a]", "[a]", true},
    {"\\[a]", "a", false},
    {"\\?", "?", true},
    {"\\?", "a", false},
    {"?", "a", true},
    {"?", "ab", false},
    {"?", ".", false},
    {"?", "\303\251", true},
    {"?\?", "ab", true},
    {"?\?", "\303\251", false},
    {"?\?", "\303\251a", true},
    {"a?c", "abc", true},
    {"a?c", "a.c", true},
    {"a?c", "ac", false},
    {"*?*", "a", true},
    {"**", "abc", true},
    {"**", ".a", false},
    {"a**b", "ab", true},
    {"a**b", "axxb", true},
    {"*a*b*c*", "xaxbxc", true},
    {"*a*b*c*", "abc", true},
    {"*a*b*c*", "acb", false},
    {"*.", "a.", true},
    {"*.", ".", false},
    {"?x", ".x", false},
    {"?x", "ax", true},
    {".*", ".x", true},
    {".*", "x.", false},
    {"a.*", "a.", true},
    {"a.*", "a.b", true},
    {"A", "a", false},
    {"A", "A", true},
    {"BLOCKS.*", "blocks.0", false},
    {"[\303\251]", "\303\251", true},
    {"[\303\251]", "e", false},
    {"[\316\261-\317\211]", "\316\273", true},
    {"[\316\261-\317\211]", "a", false},
    {"*[0-9].ffn.[!2]", "blocks.10.ffn.0", true},
    {"*[0-9].ffn.[!2]", "blocks.10.ffn.2", false},
    {"blocks.[0-4].*", "blocks.3.x", true},
    {"blocks.[0-4].*", "blocks.13.x", false},
    {"blocks.[12][0-9].*", "blocks.13.x", true},
    {"blocks.[12][0-9].*", "blocks.3.x", false},
    {"blocks.{[0-4],1[0-9]}.*", "blocks.3.x", true},
    {"blocks.{[0-4],1[0-9]}.*", "blocks.13.x", true},
    {"blocks.{[0-4],1[0-9]}.*", "blocks.23.x", false},
    {"*{q,k,v}", "blocks.0.self_attn.v", true},
    {"*{q,k,v}", "blocks.0.self_attn.o", false},
    {"!a", "!a", true},
    {"!a", "b", false},
    {"(a|b)", "(a|b)", true},
    {"(a|b)", "a", false},
    {"@(a|b)", "a", false},
    {"@(a|b)", "@(a|b)", true},
    {"a/b", "a/b", true},
    {"a/b", "a.b", false},
    {"*/c", "a/b/c", true},
    {"~", "~", true},
    {"a|b", "a|b", true},
    {"a|b", "a", false},
    {"-a", "-a", true},
    {"-a", "b", false},
};

TEST(Match, EachPairAsTheReference) {
  static_assert(std::size(kRows) >= 150);
  for (const Row& row : kRows) {
    EXPECT_EQ(LayerPattern(row.pattern).matches(row.name), row.matches) << row.pattern << "  " << row.name;
  }
}

TEST(Match, BracesExpandInOrder) {
  EXPECT_THAT(expand_braces("a{b,c}{1..3}"), ElementsAre("ab1", "ab2", "ab3", "ac1", "ac2", "ac3"));
  EXPECT_THAT(expand_braces("{10..1..4}"), ElementsAre("10", "6", "2"));
  EXPECT_THAT(expand_braces("{08..11}"), ElementsAre("08", "09", "10", "11"));
  EXPECT_THAT(expand_braces("{\\{,\\}}"), ElementsAre("\\{", "\\}"));
}

TEST(Match, ExpansionsAreBounded) {
  EXPECT_EQ(expand_braces("{1..1000}").size(), 1000u);
  const std::string hostile[] = {"{1..1001}",
                                 "{1..10}{1..10}{1..10}{1..2}",
                                 "{0..9223372036854775807}",
                                 "{-9223372036854775807..9223372036854775807}",
                                 "{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}",
                                 "{{1..600},{1..600}}"};
  for (const std::string& pattern : hostile) {
    try {
      LayerPattern compiled(pattern);
      ADD_FAILURE() << pattern;
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr("more than 1000"));
    }
  }
  EXPECT_THROW(LayerPattern(std::string(5000, '{')), Error);
  EXPECT_FALSE(LayerPattern(std::string(4000, '{')).matches("a"));  // deep nesting ends at once
}

TEST(Match, ManyStarsStayQuick) {
  std::string pattern, name;
  for (int i = 0; i < 60; ++i) pattern += "a*";
  name = std::string(4000, 'a') + "b";
  EXPECT_FALSE(LayerPattern(pattern + "c").matches(name));
  EXPECT_TRUE(LayerPattern(pattern + "b").matches(name));
}

TEST(Match, InvalidUtf8InNamesIsNoCrash) {
  EXPECT_TRUE(LayerPattern("a?").matches("a\xFF"));
  EXPECT_FALSE(LayerPattern("a").matches("\xC3"));
}

TEST(Selection, ExcludesAndRemembersWhatMatched) {
  const std::vector<std::string> include = {"*", "blocks.*", "nothing.*", "blocks.0.ffn.0"};
  const std::vector<std::string> exclude = {"*ffn.2*", "*head*"};
  LayerSelection selection(include, exclude);
  EXPECT_TRUE(selection.selects("blocks.0.ffn.0"));
  EXPECT_FALSE(selection.selects("blocks.0.ffn.2"));
  EXPECT_TRUE(selection.selects("blocks.0.self_attn.q"));
  EXPECT_THAT(selection.unmatched_include(), ElementsAre("nothing.*"));
  EXPECT_THAT(selection.unmatched_exclude(), ElementsAre("*head*"));
  EXPECT_TRUE(select(include, exclude, "blocks.1.ffn.0"));
  EXPECT_FALSE(select(include, exclude, "blocks.1.ffn.2"));
  EXPECT_FALSE(select({}, {}, "blocks.1.ffn.2"));
  EXPECT_THAT(LayerSelection(include, {}).unmatched_include(),
              ElementsAre("blocks.*", "nothing.*", "blocks.0.ffn.0"));
}

}  // namespace
}  // namespace wanslim
