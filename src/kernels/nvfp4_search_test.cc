// SPDX-License-Identifier: Apache-2.0
#include "kernels/nvfp4_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_minifloat.h"

namespace wanslim {
namespace {

// Positive E4M3 values times a scale of 0.25.
Nvfp4Scales quarter_scales() {
  Nvfp4Scales scales;
  for (int code = 1; code < 127; ++code) {
    const float mantissa = static_cast<float>(code % 8) / 8;
    const float value = code < 8 ? std::ldexp(mantissa, -6) : std::ldexp(1 + mantissa, code / 8 - 7);
    scales.value[static_cast<size_t>(code)] = value;
    scales.inverse[static_cast<size_t>(code)] = 1 / (value * 0.25f);
  }
  return scales;
}

TEST(Nvfp4Search, TakesTheFirstOfTheBestOnEveryTarget) {
  const Nvfp4Scales scales = quarter_scales();
  std::mt19937 random(3);
  const auto uniform = [&] { return static_cast<float>(random()) / 4294967296.0f; };
  for (const size_t blocks : {0u, 1u, 5u, 333u}) {
    std::vector<float> row(blocks * kNvfp4Block);
    std::vector<uint8_t> first(blocks), expected(blocks), actual(blocks);
    for (size_t b = 0; b < blocks; ++b) {
      first[b] = static_cast<uint8_t>(random() % 127);
      const float top = 6 / scales.inverse[std::max<uint8_t>(first[b], 1)];
      for (size_t i = 0; i < kNvfp4Block; ++i)
        row[b * kNvfp4Block + i] = b % 11 == 0 ? 0 : (2 * uniform() - 1) * top;
    }
    reference::nvfp4_search(row, scales, first, expected);
    each_target([&] {
      nvfp4_search(row, scales, first, actual);
      EXPECT_EQ(actual, expected);
    });
    std::set<int> steps;
    for (size_t b = 0; b < blocks; ++b) {
      if (first[b] > 1 && first[b] < 121) steps.insert(expected[b] - first[b]);
      if (b % 11 == 0) {
        EXPECT_EQ(expected[b], std::clamp(first[b] - 1, 1, 126)) << "of equals the first";
      }
    }
    if (blocks > 100) {
      EXPECT_EQ(steps.size(), kNvfp4Steps.size()) << "each step is best somewhere";
    }
  }
}

}  // namespace
}  // namespace wanslim
