// SPDX-License-Identifier: Apache-2.0
#include "kernels/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference.h"

namespace wanslim {
namespace {

std::vector<uint32_t> bits(std::span<const float> values) {
  std::vector<uint32_t> out;
  for (float v : values) out.push_back(std::bit_cast<uint32_t>(v));
  return out;
}

// Floats of every kind: random bits, so also NaN, infinities and subnormals; and exact ties of bf16.
std::vector<float> all_sorts(size_t count) {
  std::mt19937 random(7);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = random();
    if (i % 3 == 0) word = (word & 0xffff0000u) | 0x8000u;
    if (i % 17 == 0) word |= 0x7f800000u;
    values[i] = std::bit_cast<float>(word);
  }
  return values;
}

TEST(Convert, EveryShortValueWidensAsTheScalarOnEveryTarget) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> expected_bf16(all.size()), expected_f16(all.size()), actual(all.size());
  reference::widen_bf16(all, expected_bf16);
  reference::widen_f16(all, expected_f16);
  each_target([&] {
    widen_bf16(all, actual);
    EXPECT_EQ(bits(actual), bits(expected_bf16));
    widen_f16(all, actual);
    for (size_t i = 0; i < all.size(); ++i) {  // a signalling NaN may come out quiet
      if (expected_f16[i] != expected_f16[i]) {
        EXPECT_NE(actual[i], actual[i]);
      } else {
        EXPECT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected_f16[i])) << i;
      }
    }
  });
}

TEST(Convert, NarrowingRoundsHalfToEvenAtEveryLength) {
  const std::vector<float> all = all_sorts(5000);
  for (size_t count : {0u, 1u, 3u, 7u, 15u, 16u, 17u, 31u, 33u, 100u, 4999u}) {
    const std::span<const float> values = std::span(all).subspan(all.size() - count);
    std::vector<uint16_t> narrow(count), expected_narrow(count);
    std::vector<float> rounded(count), expected_rounded(count);
    reference::narrow_bf16(values, expected_narrow);
    reference::round_bf16(values, expected_rounded);
    each_target([&] {
      narrow_bf16(values, narrow);
      round_bf16(values, rounded);
      EXPECT_EQ(narrow, expected_narrow);
      EXPECT_EQ(bits(rounded), bits(expected_rounded));
    });
  }
}

}  // namespace
}  // namespace wanslim
