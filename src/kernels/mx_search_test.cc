// SPDX-License-Identifier: Apache-2.0
#include "kernels/mx_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_minifloat.h"

namespace wanslim {
namespace {

// Blocks whose largest value lies anywhere between powers of two, alone far above the others or among equals,
// alone just above a step with the others between two; of zeros; of numbers near the smallest.
std::vector<float> blocks_of_all_kinds(size_t count) {
  std::mt19937 random(7);
  const auto uniform = [&] { return static_cast<float>(random()) / 4294967296.0f; };
  std::vector<float> values(count * kMxBlock);
  for (size_t b = 0; b < count; ++b) {
    const float size = std::ldexp(1 + uniform(), static_cast<int>(random() % 24) - 20);
    const float rest = b % 5 == 0 ? 0.01f : b % 5 == 1 ? 0.3f : 1.0f;
    const float unit = std::ldexp(1.0f, static_cast<int>(random() % 20) - 22);
    for (size_t i = 0; i < kMxBlock; ++i) {
      float& value = values[b * kMxBlock + i];
      value = i == b % kMxBlock ? size : (2 * uniform() - 1) * size * rest;
      if (b % 7 == 3) value = unit * (i == b % kMxBlock ? 4 + 0.2f * uniform() : 0.7f + 0.1f * uniform());
      if (b % 17 == 0) value = 0;
      if (b % 19 == 0) value = std::ldexp(1 + uniform(), -124);
    }
  }
  return values;
}

std::vector<float> absmax_of_blocks(std::span<const float> row) {
  std::vector<float> absmax(row.size() / kMxBlock);
  reference::block_absmax(row, kMxBlock, absmax);
  return absmax;
}

TEST(MxSearch, TakesTheBetterCandidateOnEveryTarget) {
  for (const MiniFloat format : {kE4M3, kE2M1}) {
    for (const float factor : {1.0f, 0.3f, 41.7f}) {
      for (const size_t blocks : {0u, 1u, 3u, 640u}) {
        const std::vector<float> row = blocks_of_all_kinds(blocks), absmax = absmax_of_blocks(row);
        const int smallest = factor == 1 ? -127 : -100;
        std::vector<int> expected(blocks), actual(blocks);
        reference::mx_search(row, absmax, factor, format, smallest, expected);
        each_target([&] {
          mx_search(row, absmax, factor, format, smallest, actual);
          EXPECT_EQ(actual, expected) << "factor " << factor;
        });
      }
    }
  }
}

TEST(MxSearch, ProbeIsTheSameOnEveryTarget) {
  for (const float factor : {1.0f, 0.3f, 41.7f}) {
    for (const size_t blocks : {0u, 1u, 16u, 67u}) {
      const std::vector<float> row = blocks_of_all_kinds(blocks), absmax = absmax_of_blocks(row);
      const float expected = reference::mx_probe(row, absmax, factor, -100);
      each_target([&] { EXPECT_EQ(mx_probe(row, absmax, factor, -100), expected) << "factor " << factor; });
    }
  }
}

// Where the rule spares the search, what it leaves out would not have been better.
TEST(MxSearch, SureExponentsAreTheBestForNormalValues) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> row(20000 * kMxBlock);
  for (size_t i = 0; i < row.size(); ++i)
    row[i] = normal(random) * (1 + static_cast<float>(i / kMxBlock % 64) / 64);
  const std::vector<float> absmax = absmax_of_blocks(row);
  std::vector<int> exponents(absmax.size());
  mx_search(row, absmax, 1, kE2M1, -127, exponents);
  double found = 0, best = 0;
  for (size_t b = 0; b < absmax.size(); ++b) {
    const std::span<const float> block = std::span(row).subspan(b * kMxBlock, kMxBlock);
    float least = INFINITY;
    for (const int offset : {0, 1, -1}) {
      const int exponent = std::ilogb(absmax[b]) - kMxE2M1.log2_max + offset;
      const float inverse = std::ldexp(1.0f, -exponent);
      float error = 0;
      minifloat_errors(block, kMxBlock, kE2M1, {&inverse, 1}, {&error, 1});
      error = std::ldexp(error, 2 * exponent);
      least = std::min(least, error);
      if (exponent == exponents[b]) found += static_cast<double>(error);
    }
    best += static_cast<double>(least);
  }
  EXPECT_LE(found, 1.00001 * best);
}

TEST(MxSearch, EachCandidateIsTakenSomewhere) {
  constexpr size_t kBlocks = 640;
  const std::vector<float> row = blocks_of_all_kinds(kBlocks), absmax = absmax_of_blocks(row);
  for (const MiniFloat format : {kE4M3, kE2M1}) {
    std::vector<int> exponents(kBlocks);
    mx_search(row, absmax, 1, format, -127, exponents);
    std::map<int, int> taken;
    for (size_t b = 0; b < kBlocks; ++b) {
      if (absmax[b] > 0x1p-100f) ++taken[exponents[b] - std::ilogb(absmax[b]) + std::ilogb(format.max)];
      if (absmax[b] == 0) {
        EXPECT_EQ(exponents[b], -127);
      }
    }
    EXPECT_GT(taken[0], 20);
    EXPECT_GT(taken[1], 20);
    EXPECT_EQ(taken.size(), 2u);
  }
}

}  // namespace
}  // namespace wanslim
