// SPDX-License-Identifier: Apache-2.0
#include "quant/int_scale.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/convert.h"

namespace wanslim {
namespace {

struct Kind {
  const char* name;
  float (*draw)(std::mt19937&);
};

float uniform(std::mt19937& random) {
  return static_cast<float>(random() / 2147483648.0 - 1);
}
constexpr Kind kKinds[] = {
    {"uniform", uniform},
    {"normal", [](std::mt19937& r) { return uniform(r) + uniform(r) + uniform(r) + uniform(r); }},
    {"heavy tail", [](std::mt19937& r) { return uniform(r) / (std::fabs(uniform(r)) + 0.01f); }},
    {"positive", [](std::mt19937& r) { return std::fabs(uniform(r)); }},
    {"few values", [](std::mt19937& r) { return std::nearbyint(uniform(r) * 3) * 0.37f; }},
    {"tiny", [](std::mt19937& r) { return uniform(r) * 1e-37f; }},
    {"huge", [](std::mt19937& r) { return uniform(r) * 3.3e38f; }},
};

double error_of(std::span<const float> values, float scale, std::span<const int8_t> codes) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += std::pow(static_cast<double>(values[i]) - static_cast<double>(scale) * codes[i], 2);
  }
  return sum;
}

TEST(IntScale, PreciseNeverLosesAgainstTheReferenceOnAnyRow) {
  std::mt19937 random(5);
  for (const Kind& kind : kKinds) {
    for (CodeRange range : {kInt8Range, kInt4Range}) {
      double precise_total = 0, reference_total = 0;
      for (size_t count : {1u, 2u, 7u, 32u, 128u, 1536u}) {
        for (int repeat = 0; repeat < 20; ++repeat) {
          std::vector<float> row(count), rounded(count);
          for (float& x : row) x = kind.draw(random);
          round_bf16(row, rounded);
          std::vector<int8_t> codes(count);
          const float scale = choose_scale(row, absmax(row), range);
          quantize_row(row, scale, range, codes);
          const double precise = error_of(row, scale, codes);
          const float reference = reference_scale(absmax(rounded), range, Working::kBf16);
          reference_codes(rounded, reference, range, Working::kBf16, codes);
          const double compat = error_of(row, reference, codes);
          EXPECT_LE(precise, compat) << kind.name << " " << count << " high " << range.high;
          EXPECT_EQ(std::bit_cast<uint32_t>(scale) & 0xffffu, 0u) << "not a bf16 value";
          EXPECT_GT(scale, 0);
          precise_total += precise, reference_total += compat;
        }
      }
      EXPECT_LE(precise_total, reference_total) << kind.name;
    }
  }
}

TEST(IntScale, ARowOfZerosHasTheReferencesSmallestScale) {
  const std::vector<float> zeros(16);
  EXPECT_EQ(choose_scale(zeros, 0, kInt8Range), 0x1p-23f);
  EXPECT_EQ(reference_scale(0, kInt8Range, Working::kBf16), 0x1p-23f);
}

TEST(IntScale, TheReferencesUnitVectors) {
  EXPECT_EQ(reference_scale(100, kInt8Range, Working::kF32), 100.0f / 127);
  EXPECT_EQ(reference_scale(10, kInt4Range, Working::kF32), 10.0f / 7);
  EXPECT_EQ(reference_scale(1.9921875f, kInt8Range, Working::kBf16), 0x1.02p-6f);
}

}  // namespace
}  // namespace wanslim
