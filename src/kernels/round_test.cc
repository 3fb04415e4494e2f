// SPDX-License-Identifier: Apache-2.0
#include "kernels/round.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference.h"

namespace wanslim {
namespace {

constexpr size_t kSizes[] = {0, 1, 2, 5, 15, 16, 17, 31, 63, 64, 65, 127, 1000, 1023, 1024, 1025, 1537, 4101};

// Values spread over many codes, beyond the range, and exactly on ties of scale 0.5.
std::vector<float> row_of(size_t count) {
  std::mt19937 random(11);
  std::vector<float> row(count);
  for (size_t i = 0; i < count; ++i) {
    row[i] = static_cast<float>(static_cast<int32_t>(random()) / 2147483648.0 * 80);
    if (i % 5 == 0) row[i] = std::nearbyint(row[i]) + 0.25f;
    if (i % 7 == 0) row[i] *= 1e-3f;
  }
  return row;
}

TEST(Round, CodesEqualTheTwinAtEveryLengthOnEveryTarget) {
  for (size_t count : kSizes) {
    const std::vector<float> row = row_of(count);
    for (float scale : {0.5f, 0.62890625f, 1.0f / 3, 9.0f}) {
      for (CodeRange range : {CodeRange{-128, 127}, CodeRange{-8, 7}, CodeRange{-127, 127}}) {
        std::vector<int8_t> expected(count), expected_bf16(count), actual(count);
        reference::quantize_row(row, scale, range, expected);
        reference::quantize_row_bf16(row, scale, range, expected_bf16);
        each_target([&] {
          quantize_row(row, scale, range, actual);
          EXPECT_EQ(actual, expected);
          quantize_row_bf16(row, scale, range, actual);
          EXPECT_EQ(actual, expected_bf16);
        });
      }
    }
  }
}

TEST(Round, HalfGoesToTheEvenCodeAndTheRangeClamps) {
  const std::vector<float> row = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 126.5f, 127.5f, 500.f, -500.f, -128.5f};
  std::vector<int8_t> codes(row.size());
  each_target([&] {
    quantize_row(row, 1.0f, {}, codes);
    EXPECT_EQ(codes, (std::vector<int8_t>{0, 2, 2, 0, -2, 126, 127, 127, -128, -128}));
  });
}

TEST(Round, AbsmaxSeesEveryPositionAndWhatIsNotANumber) {
  for (size_t count : kSizes) {
    std::vector<float> row(count, 0.25f);
    each_target([&] { EXPECT_EQ(absmax(row), count == 0 ? 0.0f : 0.25f); });
    for (size_t at = 0; at<count; at += count> 100 ? 61 : 1) {
      row[at] = -3.5f;
      each_target([&] { EXPECT_EQ(absmax(row), 3.5f); });
      row[at] = -INFINITY;
      each_target([&] { EXPECT_EQ(absmax(row), INFINITY); });
      row[at] = -NAN;
      each_target([&] { EXPECT_TRUE(std::isnan(absmax(row))); });
      row[at] = 0.25f;
    }
  }
}

TEST(Round, ErrorSumsHaveTheSameBitsOnEveryTarget) {
  for (size_t count : kSizes) {
    const std::vector<float> row = row_of(count);
    std::vector<float> other = row;
    for (size_t i = 0; i < count; ++i) other[i] += static_cast<float>(i % 13) * 0.01f;
    for (size_t number = 0; number <= 5; ++number) {
      const std::vector<float> all = {0.5f, 0.62890625f, 1.0f / 3, 0.7f, 0.6f};
      const std::vector<float> scales(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(number));
      std::vector<double> expected(number), actual(number);
      reference::code_errors(row, scales, {}, expected);
      each_target([&] {
        code_errors(row, scales, {}, actual);
        EXPECT_EQ(actual, expected);
        EXPECT_EQ(squared_error(row, other), reference::squared_error(row, other));
      });
    }
  }
}

TEST(Round, FitSumsHaveTheSameBitsOnEveryTarget) {
  for (size_t count : kSizes) {
    const std::vector<float> row = row_of(count);
    std::vector<float> weights(count), bf16_row(count);
    reference::round_bf16(row, bf16_row);
    for (size_t i = 0; i < count; ++i) weights[i] = 0.5f + static_cast<float>(i % 9) * 0.3f;
    const std::vector<float> scales = {0.5f, 0.62890625f, 0.7f};
    std::vector<double> expected(3), actual(3);
    reference::weighted_code_errors(row, weights, scales, {-8, 7}, expected);
    const FitSums fit = reference::fit_sums(row, 0.6f, {});
    const SszSums ssz = reference::ssz_sums_bf16(bf16_row, 0.62890625f, {});
    each_target([&] {
      weighted_code_errors(row, weights, scales, {-8, 7}, actual);
      EXPECT_EQ(actual, expected);
      const FitSums fit_actual = fit_sums(row, 0.6f, {});
      EXPECT_EQ(fit_actual.row_code, fit.row_code);
      EXPECT_EQ(fit_actual.code_code, fit.code_code);
      const SszSums ssz_actual = ssz_sums_bf16(bf16_row, 0.62890625f, {});
      EXPECT_EQ(ssz_actual.row_code, ssz.row_code);
      EXPECT_EQ(ssz_actual.code_code, ssz.code_code);
      EXPECT_EQ(ssz_actual.error, ssz.error);
    });
  }
}

TEST(Round, TheCodeErrorIsTheErrorOfTheCodes) {
  const std::vector<float> row = row_of(3000);
  const float scale = 0.47f;
  std::vector<int8_t> codes(row.size());
  quantize_row(row, scale, {}, codes);
  double exact = 0;
  for (size_t i = 0; i < row.size(); ++i) exact += std::pow(row[i] / scale - codes[i], 2);
  double error = 0;
  code_errors(row, {&scale, 1}, {}, {&error, 1});
  EXPECT_NEAR(error, exact, exact * 1e-5);
}

}  // namespace
}  // namespace wanslim
