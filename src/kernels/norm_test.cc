// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

#include "base/threads.h"
#include "kernels/each_target.h"
#include "kernels/reference_nn.h"
#include "kernels/testing.h"

namespace wanslim {
namespace {

constexpr int64_t kWidths[] = {1, 2, 7, 16, 31, 33, 128, 257, 1536};

TEST(Norm, LayerNormAgreesWithDouble) {
  each_target([] {
    TestNumbers numbers(1);
    for (int64_t width : kWidths) {
      auto x = numbers.floats(5 * width);
      for (float& v : x) v += 3.0f;  // a mean that must not eat the variance
      const auto weight = numbers.floats(width), bias = numbers.floats(width);
      std::vector<float> y(x.size());
      layer_norm(x.data(), 5, width, {.eps = 1e-5f, .weight = weight.data(), .bias = bias.data()}, y.data());
      EXPECT_LT(relative_l2(y, reference::layer_norm(x, width, 1e-5, weight, bias)), 3e-6) << width;
    }
  });
}

// A row so small that eps decides: 1e-6 and 1e-5 must give different results.
TEST(Norm, EpsCounts) {
  const std::vector<float> x = {1e-3f, -1e-3f};
  std::vector<float> six(2), five(2);
  layer_norm(x.data(), 1, 2, {.eps = 1e-6f}, six.data());
  layer_norm(x.data(), 1, 2, {.eps = 1e-5f}, five.data());
  EXPECT_NEAR(six[0], 0.70711f, 1e-4);
  EXPECT_NEAR(five[0], 0.30151f, 1e-4);
}

TEST(Norm, ModulationComesAfterTheRounding) {
  each_target([] {
    TestNumbers numbers(2);
    for (int64_t width : kWidths) {
      const auto x = numbers.floats(3 * width), scale = numbers.floats(width), shift = numbers.floats(width);
      std::vector<float> normal(x.size()), y(x.size());
      std::vector<uint16_t> narrow(x.size());
      layer_norm(x.data(), 3, width, {.round = true}, normal.data());
      layer_norm(x.data(), 3, width, {.round = true, .scale = scale.data(), .shift = shift.data()}, y.data());
      layer_norm(x.data(), 3, width, {.round = true, .scale = scale.data(), .shift = shift.data()},
                 narrow.data());
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(normal[i], round_bf16(normal[i]));
        ASSERT_EQ(y[i], normal[i] * (1.0f + scale[i % width]) + shift[i % width]);
        ASSERT_EQ(narrow[i], float_to_bf16(y[i]));
      }
    }
  });
}

TEST(Norm, RmsNormAgreesWithDouble) {
  each_target([] {
    TestNumbers numbers(3);
    for (int64_t width : kWidths) {
      const auto x = numbers.floats(4 * width, 5.0f), weight = numbers.floats(width);
      std::vector<float> y = x;
      rms_norm(y.data(), 4, width, {.weight = weight.data()}, y.data());
      EXPECT_LT(relative_l2(y, reference::rms_norm(x, width, 1e-6, weight)), 1e-6) << width;
    }
  });
}

TEST(Norm, RmsNormRoundsBeforeTheWeight) {
  TestNumbers numbers(4);
  const auto bits = to_bf16(numbers.floats(64)), wide_bits = bits;
  const auto weight = numbers.floats(64), x = to_float(bits);
  std::vector<float> plain(64), ones(64, 1.0f);
  rms_norm(x.data(), 1, 64, {.weight = ones.data()}, plain.data());
  std::vector<uint16_t> y(64);
  rms_norm(bits.data(), 1, 64, {.weight = weight.data(), .round = true}, y.data());
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(y[i], float_to_bf16(round_bf16(plain[i]) * weight[i]));
}

TEST(Rope, SplitsTheHeadAsTheOfficialModelDoes) {
  const RopeGrid grid = make_rope(128, 2, 3, 4);
  EXPECT_EQ(grid.pairs, (std::array<int64_t, 3>{22, 21, 21}));
  EXPECT_EQ(grid.tokens(), 24);
  std::vector<double> cosines(64), sines(64);
  grid.angles(1 * 12 + 2 * 4 + 3, cosines.data(), sines.data());  // frame 1, row 2, column 3
  const auto expect = [&](size_t pair, double angle) {
    EXPECT_NEAR(cosines[pair], std::cos(angle), 1e-14);
    EXPECT_NEAR(sines[pair], std::sin(angle), 1e-14);
  };
  expect(0, 1);
  expect(21, std::pow(10000.0, -42.0 / 44));  // each axis has frequencies of its own width
  expect(22, 2);
  expect(42, 2 * std::pow(10000.0, -40.0 / 42));
  expect(43, 3);
  expect(63, 3 * std::pow(10000.0, -40.0 / 42));
}

TEST(Rope, RmsNormTurnsAdjacentPairsOfEveryHead) {
  TestNumbers numbers(5);
  const RopeGrid grid = make_rope(12, 2, 2, 3);
  const auto x = numbers.floats(12 * 24), weight = numbers.floats(24);
  std::vector<float> plain(x.size()), turned(x.size());
  rms_norm(x.data(), 12, 24, {.weight = weight.data()}, plain.data());
  rms_norm(x.data(), 12, 24, {.weight = weight.data(), .rope = &grid}, turned.data());
  std::vector<double> cosines(6), sines(6);
  for (int64_t token = 0; token < 12; ++token) {
    grid.angles(token, cosines.data(), sines.data());
    for (int64_t pair = 0; pair < 12; ++pair) {
      const size_t at = static_cast<size_t>(token * 24 + 2 * pair);
      const auto z = std::complex<double>(plain[at], plain[at + 1]) *
                     std::complex<double>(cosines[pair % 6], sines[pair % 6]);
      EXPECT_FLOAT_EQ(turned[at], static_cast<float>(z.real()));
      EXPECT_FLOAT_EQ(turned[at + 1], static_cast<float>(z.imag()));
    }
  }
}

TEST(Rope, SinusoidHasCosinesFirst) {
  const auto values = sinusoid(999, 256);
  EXPECT_FLOAT_EQ(values[0], static_cast<float>(std::cos(999.0)));
  EXPECT_FLOAT_EQ(values[128], static_cast<float>(std::sin(999.0)));
  EXPECT_FLOAT_EQ(values[127], static_cast<float>(std::cos(999.0 * std::pow(10000.0, -127.0 / 128))));
}

}  // namespace
}  // namespace wanslim
