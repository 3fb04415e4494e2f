// SPDX-License-Identifier: Apache-2.0
#include "eval/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "eval/font.h"

namespace wanslim {
namespace {

Frames filled(int64_t count, int64_t height, int64_t width, uint8_t value) {
  Frames f = make_frames(count, height, width);
  std::fill(f.rgb.begin(), f.rgb.end(), value);
  return f;
}

Rgb pixel(const Frames& f, int64_t t, int64_t x, int64_t y) {
  const uint8_t* p = &f.frame(t)[static_cast<size_t>((y * f.width + x) * 3)];
  return {p[0], p[1], p[2]};
}

Rgb grey(uint8_t v) {
  return {v, v, v};
}

TEST(SideBySide, ShowsBothVideosAndTheirDifference) {
  const Frames a = filled(3, 20, 100, 50), b = filled(3, 20, 100, 60);
  const VideoMetrics m = compare_videos(a, b);
  const Frames s = side_by_side({.a = a, .b = b, .metrics = m, .label_a = "float", .label_b = "w8a8"});
  EXPECT_EQ(s.count, 3);
  EXPECT_EQ(s.width, 3 * 100 + 2 * 4);
  EXPECT_EQ(s.height, 20 + 2 * kGlyphHeight);
  for (const int64_t t : {0, 2}) {
    EXPECT_EQ(pixel(s, t, 50, 15), grey(50));
    EXPECT_EQ(pixel(s, t, 154, 15), grey(60));
    EXPECT_EQ(pixel(s, t, 258, 15), grey(40));
  }
  // Labels above, numbers below: some pixels there are bright.
  const auto bright = [&](int64_t top) {
    int count = 0;
    for (int64_t y = top; y < top + kGlyphHeight; ++y) {
      for (int64_t x = 0; x < s.width; ++x) count += pixel(s, 0, x, y)[0] > 200;
    }
    return count;
  };
  EXPECT_GT(bright(0), 50);
  EXPECT_GT(bright(20 + kGlyphHeight), 50);
}

TEST(ContactSheet, ShowsTheFirstAndTheLastFrame) {
  Frames a = filled(9, 30, 900, 0), b = a;
  for (int64_t t = 0; t < 9; ++t) {
    for (uint8_t& x : a.frame(t)) x = static_cast<uint8_t>(20 * t);
    for (uint8_t& x : b.frame(t)) x = static_cast<uint8_t>(20 * t + 5);
  }
  const VideoMetrics m = compare_videos(a, b);
  const Frames s = contact_sheet({.a = a, .b = b, .metrics = m, .label_a = "a", .label_b = "b"}, 3);
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.width, 3 * 300 + 2 * 4);  // a third of 900
  const int64_t band = kGlyphHeight, row = band + 10 + 4;
  for (const int64_t k : {0, 1, 2}) {
    EXPECT_EQ(pixel(s, 0, k * 304 + 150, band + 5), grey(static_cast<uint8_t>(80 * k)));
    EXPECT_EQ(pixel(s, 0, k * 304 + 150, row + band + 5), grey(static_cast<uint8_t>(80 * k + 5)));
    EXPECT_EQ(pixel(s, 0, k * 304 + 150, 2 * row + band + 5), grey(20));
  }
}

TEST(ContactSheet, OfOnePictureHasOneColumn) {
  const Frames a = filled(1, 3, 5, 7);
  const VideoMetrics m = compare_videos(a, a);
  const Frames s = contact_sheet({.a = a, .b = a, .metrics = m, .label_a = "a", .label_b = "b"});
  EXPECT_EQ(s.width, 5);
}

TEST(Font, EveryCharacterLooksDifferent) {
  std::set<std::array<uint8_t, 7>> seen;
  for (char c = ' '; c <= '~'; ++c) {
    EXPECT_TRUE(seen.insert(glyph(c)).second) << c;
    for (const uint8_t row : glyph(c)) EXPECT_LT(row, 32) << c;
  }
  EXPECT_EQ(glyph('\n'), glyph('\xe4'));
}

TEST(Font, LettersStandWhereTheyAreDrawn) {
  Frames f = make_frames(1, 9, 7);
  draw_text(f, 0, 1, 0, "L", {255, 255, 255}, 1);
  for (int64_t y = 1; y <= 7; ++y) EXPECT_EQ(pixel(f, 0, 1, y), grey(255));
  for (int64_t x = 1; x <= 5; ++x) EXPECT_EQ(pixel(f, 0, x, 7), grey(255));
  EXPECT_EQ(pixel(f, 0, 5, 1), grey(0));
  draw_text(f, 0, -3, -3, "WWWWWWWWWW", {1, 1, 1}, 3);  // cut at the edges
}

TEST(Font, LongTextsAreCutInTheMiddle) {
  EXPECT_EQ(fit_text("short", 60, 1), "short");
  EXPECT_EQ(fit_text("a/very/long/path.mp4", 60, 1), "a/v....mp4");
  EXPECT_EQ(fit_text("abcdef", 18, 1), "abc");
  EXPECT_EQ(fit_text("abcdef", 3, 1), "");
}

}  // namespace
}  // namespace wanslim
