// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

namespace wanslim {
namespace {

TEST(Utf8, EveryCodePointGoesThereAndBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(first_invalid_utf8(text), std::string_view::npos) << static_cast<uint32_t>(c);
    ASSERT_TRUE(utf8_to_code_points(text) == std::u32string(1, c));
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  struct Row {
    std::string_view text;
    size_t offset;
  };
  const Row rows[] = {
      {"ab\x80", 2},              // continuation byte alone
      {"\xC0\x80", 0},            // overlong NUL
      {"x\xC1\xBF", 1},           // overlong
      {"\xE0\x80\x80", 0},        // overlong
      {"\xF0\x80\x80\x80", 0},    // overlong
      {"\xED\xA0\x80", 0},        // surrogate
      {"\xF4\x90\x80\x80", 0},    // above U+10FFFF
      {"\xF5\x80\x80\x80", 0},    // no such lead byte
      {"ok \xE4\xBD", 3},         // cut off
      {"\xC3\xA9 \xFF", 3},       // after a good one
      {"\xE4\xBD\x28\xA0 z", 0},  // bad third byte
  };
  for (const Row& row : rows) EXPECT_EQ(first_invalid_utf8(row.text), row.offset) << row.offset;
  EXPECT_TRUE(utf8_to_code_points("a\xFFz") == U"a\uFFFDz");
}

}  // namespace
}  // namespace wanslim
