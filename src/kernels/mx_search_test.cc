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

TEST(MxSearch, TakesTheBestOfAllCandidatesOnEveryTarget) {
  for (const MiniFloat format : {kE4M3, kE2M1}) {
    for (const float factor : {1.0f, 0.3f, 41.7f}) {
      for (const size_t blocks : {0u, 1u, 3u, 640u}) {
        const std::vector<float> row = blocks_of_all_kinds(blocks);
        const int smallest = factor == 1 ? -127 : -100;
        std::vector<int> expected(blocks), actual(blocks);
        std::vector<float> errors(format.max == 6 ? blocks : 0), actual_errors(errors.size());
        reference::mx_search(row, factor, format, smallest, expected, errors);
        each_target([&] {
          mx_search(row, factor, format, smallest, actual, actual_errors);
          EXPECT_EQ(actual, expected) << "factor " << factor;
          EXPECT_EQ(actual_errors, errors) << "factor " << factor;
        });
      }
    }
  }
}

TEST(MxSearch, InTwoStepsComesToTheSame) {
  for (const float factor : {1.0f, 0.3f, 41.7f}) {
    for (const size_t blocks : {0u, 1u, 16u, 67u, 640u}) {
      const std::vector<float> row = blocks_of_all_kinds(blocks);
      const int smallest = factor == 1 ? -127 : -100;
      std::vector<int> first(blocks), expected(blocks), actual(blocks);
      std::vector<float> absmax(blocks), first_errors(blocks), errors(blocks), actual_errors(blocks);
      reference::block_absmax(row, kMxBlock, absmax);
      reference::mx_first(row, absmax, factor, smallest, first, first_errors);
      reference::mx_search(row, factor, kE2M1, smallest, expected, errors);
      each_target([&] {
        mx_first(row, absmax, factor, smallest, actual, actual_errors);
        EXPECT_EQ(actual, first) << "factor " << factor;
        EXPECT_EQ(actual_errors, first_errors) << "factor " << factor;
        mx_refine(row, absmax, factor, smallest, actual, actual_errors);
        EXPECT_EQ(actual, expected) << "factor " << factor;
        EXPECT_EQ(actual_errors, errors) << "factor " << factor;
      });
    }
  }
}

TEST(MxSearch, EachCandidateIsTakenSomewhere) {
  constexpr size_t kBlocks = 640;
  const std::vector<float> row = blocks_of_all_kinds(kBlocks);
  for (const MiniFloat format : {kE4M3, kE2M1}) {
    std::vector<int> exponents(kBlocks);
    std::vector<float> errors(format.max == 6 ? kBlocks : 0), absmax(kBlocks);
    mx_search(row, 1, format, -127, exponents, errors);
    block_absmax(row, kMxBlock, absmax);
    std::map<int, int> taken;
    for (size_t b = 0; b < kBlocks; ++b) {
      if (absmax[b] > 0x1p-100f) ++taken[exponents[b] - std::ilogb(absmax[b]) + std::ilogb(format.max)];
      if (absmax[b] == 0) {
        EXPECT_EQ(exponents[b], -127);
      }
    }
    EXPECT_GT(taken[0], 20);
    EXPECT_GT(taken[1], 20);
    EXPECT_EQ(taken[-1] > 20, format.max == 6);
  }
}

}  // namespace
}  // namespace wanslim
