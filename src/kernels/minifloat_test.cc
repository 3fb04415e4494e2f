// SPDX-License-Identifier: Apache-2.0
#include "kernels/minifloat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_minifloat.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr MiniFloat kFormats[] = {kE4M3, kE2M1};

// Magnitudes over the whole range of the format and beyond, many of them exactly halfway between two values.
std::vector<float> row_of(size_t count, MiniFloat format) {
  std::mt19937 random(21);
  std::vector<float> row(count);
  for (float& x : row) {
    const int step = 1 << (format.mantissa_bits + 2);
    const float grid =
        static_cast<float>(random() % static_cast<uint32_t>(4 * step)) / static_cast<float>(step);
    const int exponent = static_cast<int>(random() % 14) - 4 + format.min_exponent;
    x = std::ldexp(grid, format.mantissa_bits == 3 ? exponent : exponent % 3);
    if (random() % 2) x *= 1 + static_cast<float>(random() % 1000) * 1e-4f;
    if (random() % 2) x = -x;
    if (random() % 50 == 0) x = random() % 2 ? 0.0f : -0.0f;
  }
  return row;
}

std::vector<float> scales_of(size_t count, bool powers) {
  std::mt19937 random(22);
  std::vector<float> scales(count);
  for (float& s : scales) {
    s = powers ? std::ldexp(1.0f, static_cast<int>(random() % 5) - 2)
               : 0.3f + static_cast<float>(random() % 100) * 0.02f;
  }
  return scales;
}

TEST(MiniFloatKernels, CodesEqualTheTwinOnEveryTarget) {
  for (MiniFloat format : kFormats) {
    for (size_t block : {16u, 32u, 64u, 512u}) {
      const std::vector<float> row = row_of(1024, format);
      for (MiniRule rule : {MiniRule::kEven, MiniRule::kEvenInverse, MiniRule::kEvenBf16, MiniRule::kAway}) {
        const std::vector<float> scales = scales_of(1024 / block, rule == MiniRule::kAway);
        std::vector<uint8_t> expected(1024), actual(1024);
        reference::minifloat_codes(row, block, format, rule, scales, expected);
        each_target([&] {
          minifloat_codes(row, block, format, rule, scales, actual);
          EXPECT_EQ(actual, expected) << "block " << block << " rule " << static_cast<int>(rule);
        });
      }
    }
  }
}

TEST(MiniFloatKernels, OneScaleForARowOfAnyLength) {
  for (size_t count : {1u, 3u, 15u, 17u, 100u, 1025u}) {
    const std::vector<float> row = row_of(count, kE4M3), scale = {0.37f};
    std::vector<uint8_t> expected(count), actual(count);
    reference::minifloat_codes(row, count, kE4M3, MiniRule::kEven, scale, expected);
    each_target([&] {
      minifloat_codes(row, count, kE4M3, MiniRule::kEven, scale, actual);
      EXPECT_EQ(actual, expected);
    });
  }
}

TEST(MiniFloatKernels, Fp8CodesAreThoseOfTheScalarConversion) {
  const std::vector<float> row = row_of(2048, kE4M3), one = {1.0f};
  std::vector<uint8_t> codes(row.size());
  minifloat_codes(row, row.size(), kE4M3, MiniRule::kEven, one, codes);
  for (size_t i = 0; i < row.size(); ++i) {
    EXPECT_EQ(codes[i], float_to_e4m3(std::min(448.0f, std::max(-448.0f, row[i])))) << row[i];
  }
}

TEST(MiniFloatKernels, ErrorsHaveTheSameBitsOnEveryTarget) {
  for (MiniFloat format : kFormats) {
    for (size_t block : {16u, 32u, 128u}) {
      const std::vector<float> row = row_of(1024, format);
      std::vector<float> bf16_row = row;
      for (float& x : bf16_row) x = round_bf16(x);
      const std::vector<float> inverse = scales_of(1024 / block, false),
                               scales = scales_of(1024 / block, true);
      std::vector<float> expected(1024 / block), expected_bf16 = expected, actual = expected,
                                                 largest = expected;
      reference::minifloat_errors(row, block, format, inverse, expected);
      reference::minifloat_errors_bf16(bf16_row, block, format, scales, expected_bf16);
      reference::block_absmax(row, block, largest);
      each_target([&] {
        minifloat_errors(row, block, format, inverse, actual);
        EXPECT_EQ(actual, expected);
        minifloat_errors_bf16(bf16_row, block, format, scales, actual);
        EXPECT_EQ(actual, expected_bf16);
        block_absmax(row, block, actual);
        EXPECT_EQ(actual, largest);
      });
    }
  }
}

TEST(MiniFloatKernels, NibblesEqualTheTwinOnEveryTarget) {
  for (size_t block : {16u, 32u}) {
    for (size_t blocks : {0u, 1u, 2u, 3u, 7u, 65u}) {
      const std::vector<float> row = row_of(blocks * block, kE2M1);
      std::vector<float> inverse = scales_of(blocks, block == 32);
      if (blocks == 7) inverse[3] = 0x1p30f, inverse[4] = 0x1p-100f;
      std::vector<uint8_t> expected(row.size() / 2), actual(expected.size());
      reference::minifloat_nibbles(row, block, inverse, expected);
      each_target([&] {
        minifloat_nibbles(row, block, inverse, actual);
        EXPECT_EQ(actual, expected) << blocks << " blocks of " << block;
      });
    }
  }
}

TEST(MiniFloatKernels, NibblesOfZerosUnderTheSmallestScaleAreZero) {
  const std::vector<float> row(96, 0.0f), inverse(3, 0x1p127f);
  each_target([&] {
    std::vector<uint8_t> packed(48, 1);
    minifloat_nibbles(row, 32, inverse, packed);
    EXPECT_EQ(packed, std::vector<uint8_t>(48));
  });
}

TEST(MiniFloatKernels, AbsmaxOfABlockWithNanIsNan) {
  std::vector<float> row(64, 1.0f), absmax(2);
  row[37] = -std::numeric_limits<float>::quiet_NaN();
  each_target([&] {
    block_absmax(row, 32, absmax);
    EXPECT_EQ(absmax[0], 1.0f);
    EXPECT_TRUE(std::isnan(absmax[1]));
  });
}

TEST(MiniFloatKernels, NibblesPackLowFirst) {
  for (size_t count : {0u, 1u, 7u, 16u, 33u, 1000u}) {
    std::vector<uint8_t> codes(2 * count), expected(count), actual(count);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 7 % 16);
    reference::pack_nibbles(codes, expected);
    each_target([&] {
      pack_nibbles(codes, actual);
      EXPECT_EQ(actual, expected);
    });
  }
}

}  // namespace
}  // namespace wanslim
