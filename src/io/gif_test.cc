// SPDX-License-Identifier: Apache-2.0
#include "io/gif.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace wanslim {
namespace {

// A reader of the sub-blocks, written from the specification: the other side of lzw_compress.
std::vector<uint8_t> lzw_expand(const std::string& blocks) {
  std::string packed;
  size_t at = 0;
  while (blocks.at(at) != '\0') {
    const auto size = static_cast<uint8_t>(blocks[at]);
    packed += blocks.substr(at + 1, size);
    at += size + size_t{1};
  }
  EXPECT_EQ(at + 1, blocks.size());
  std::vector<std::vector<uint8_t>> table;
  std::vector<uint8_t> out, previous;
  const auto reset = [&] {
    table.assign(258, {});
    for (size_t i = 0; i < 256; ++i) table[i] = {static_cast<uint8_t>(i)};
    previous.clear();
  };
  reset();
  size_t bit = 0, width = 9;
  for (;;) {
    size_t code = 0;
    for (size_t i = 0; i < width; ++i, ++bit) {
      if (bit / 8 >= packed.size()) {
        ADD_FAILURE() << "no end mark";
        return out;
      }
      code |= static_cast<size_t>(static_cast<uint8_t>(packed[bit / 8]) >> bit % 8 & 1) << i;
    }
    if (code == 257) return out;
    if (code == 256) {
      reset();
      width = 9;
      continue;
    }
    std::vector<uint8_t> entry;
    if (code < table.size()) {
      entry = table[code];
    } else {
      EXPECT_EQ(code, table.size());
      entry = previous;
      entry.push_back(previous.at(0));
    }
    out.insert(out.end(), entry.begin(), entry.end());
    if (!previous.empty() && table.size() < 4096) {
      previous.push_back(entry[0]);
      table.push_back(previous);
    }
    if (table.size() == size_t{1} << width && width < 12) ++width;
    previous = entry;
  }
}

TEST(Gif, LzwSurvivesTheWayThereAndBack) {
  std::mt19937 engine(3);
  std::vector<std::vector<uint8_t>> cases = {{}, {7}, {7, 7}, std::vector<uint8_t>(100'000, 9)};
  std::vector<uint8_t> noise(60'000), steps(30'000);
  for (uint8_t& x : noise) x = static_cast<uint8_t>(engine());  // fills the table many times
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<uint8_t>(i / 50 % 3);
  cases.push_back(noise);
  cases.push_back(steps);
  // Lengths around those at which the code width changes.
  for (size_t n = 250; n < 262; ++n)
    cases.emplace_back(noise.begin(), noise.begin() + static_cast<ptrdiff_t>(n));
  for (size_t n = 762; n < 772; ++n)
    cases.emplace_back(noise.begin(), noise.begin() + static_cast<ptrdiff_t>(n));
  for (const std::vector<uint8_t>& indices : cases) {
    EXPECT_EQ(lzw_expand(lzw_compress(indices)), indices) << indices.size();
  }
}

TEST(Gif, AFewColoursStayExact) {
  Frames f = make_frames(1, 4, 4);
  const std::array<std::array<uint8_t, 3>, 3> colours = {{{255, 0, 0}, {0, 255, 8}, {250, 250, 250}}};
  for (size_t i = 0; i < 16; ++i) std::copy(colours[i % 3].begin(), colours[i % 3].end(), &f.rgb[i * 3]);
  EXPECT_THAT(median_cut(f), ::testing::UnorderedElementsAreArray(colours));
}

TEST(Gif, ManyColoursTakeAllEntries) {
  Frames f = make_frames(1, 64, 64);
  std::mt19937 engine(5);
  for (uint8_t& x : f.rgb) x = static_cast<uint8_t>(engine());
  EXPECT_EQ(median_cut(f).size(), 256u);
}

TEST(Gif, DelaysKeepTheAverageRate) {
  // 16 frames a second are 6.25 hundredths: 6, 6, 7, 6 or so, 100 after 16 frames.
  Frames f = make_frames(16, 2, 2);
  f.fps = 16;
  const std::string bytes = encode_gif(f);
  EXPECT_EQ(bytes.substr(0, 6), "GIF89a");
  EXPECT_EQ(bytes.back(), '\x3b');
  int sum = 0, count = 0;
  for (size_t at = bytes.find("\x21\xf9\x04"); at != std::string::npos;
       at = bytes.find("\x21\xf9\x04", at + 1)) {
    const int delay = static_cast<uint8_t>(bytes[at + 4]) + 256 * static_cast<uint8_t>(bytes[at + 5]);
    EXPECT_TRUE(delay == 6 || delay == 7);
    sum += delay;
    ++count;
  }
  EXPECT_EQ(count, 16);
  EXPECT_EQ(sum, 100);
}

}  // namespace
}  // namespace wanslim
