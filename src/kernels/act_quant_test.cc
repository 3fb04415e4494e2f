// SPDX-License-Identifier: Apache-2.0
#include "kernels/act_quant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/testing.h"

namespace wanslim {
namespace {

TEST(ActQuant, TokensGetTheirOwnScaleAndHalfRoundsToEven) {
  each_target([] {
    const std::vector<float> x = {127, 0.5f, 1.5f, -2.5f,  //
                                  0,   0,    0,    0,      //
                                  -2,  1,    0.5f, 0.25f};
    std::vector<int8_t> codes(12);
    std::vector<float> scales(3);
    quantize_tokens(x.data(), 3, 4, 127, codes.data(), scales.data());
    EXPECT_EQ(scales, (std::vector<float>{1, 0, 2.0f / 127}));
    EXPECT_EQ(codes, (std::vector<int8_t>{127, 0, 2, -2, 0, 0, 0, 0, -127, 64, 32, 16}));
    const std::vector<float> small = {-7, 3.5f, 2.5f, 1};
    quantize_tokens(small.data(), 1, 4, 7, codes.data(), scales.data());
    codes.resize(4);
    EXPECT_EQ(codes, (std::vector<int8_t>{-7, 4, 2, 1}));
  });
}

TEST(ActQuant, TokensOfBf16AreThoseOfTheSameFloats) {
  TestNumbers numbers(5);
  for (const int64_t width : {1, 7, 64, 1537}) {
    const auto bits = to_bf16(numbers.floats(11 * width));
    const auto x = to_float(bits);
    std::vector<int8_t> expected(x.size()), codes(x.size(), 9);
    std::vector<float> expected_scales(11), scales(11, NAN);
    quantize_tokens(x.data(), 11, width, 127, expected.data(), expected_scales.data());
    each_target([&] {
      quantize_tokens(bits.data(), 11, width, 127, codes.data(), scales.data());
      EXPECT_EQ(codes, expected);
      EXPECT_EQ(scales, expected_scales);
    });
  }
}

TEST(ActQuant, ARowThatIsNotFiniteGetsTheScaleNan) {
  const std::vector<float> x = {1, NAN, 1, INFINITY};
  std::vector<int8_t> codes(4, 9);
  std::vector<float> scales(2);
  quantize_tokens(x.data(), 2, 2, 127, codes.data(), scales.data());
  EXPECT_TRUE(std::isnan(scales[0]) && std::isnan(scales[1]));
  EXPECT_EQ(codes, std::vector<int8_t>(4, 0));
}

TEST(ActQuant, StaticAddsTheOffsetAfterRounding) {
  const std::vector<float> x = {0, 0.5f, 1.5f, -100, 100};
  std::vector<int8_t> codes(5);
  quantize_static(x.data(), 1, 5, 1.0f, -3.0f, codes.data());
  EXPECT_EQ(codes, (std::vector<int8_t>{-3, -3, -1, -103, 97}));
  quantize_static(x.data(), 1, 5, 0.5f, 10.0f, codes.data());
  EXPECT_EQ(codes, (std::vector<int8_t>{10, 11, 13, -128, 127}));
}

TEST(ActQuant, Fp8TokensReachTheLargestCode) {
  std::vector<float> x = {-1, 0.5f, 0.3f, 0.001f}, scales(1);
  round_fp8_tokens(x.data(), 1, 4, scales.data());
  EXPECT_FLOAT_EQ(scales[0], 1.0f / 448);
  EXPECT_EQ(x,
            (std::vector<float>{-448, 224, 128, 0.4375f}));  // 134.4 in steps of 16, 0.448 in steps of 1/32
}

TEST(ActQuant, MxSharesAPowerOfTwoPerBlock) {
  std::vector<float> x(64, 0.0f);
  x[0] = 10.9511f, x[1] = 1.1f, x[2] = 0.4f;  // e = 3 - 2 = 1: steps 1, 1, 1
  x[32] = 1000, x[33] = 260;                  // e = 9 - 2 = 7: 7.8 saturates at 6
  round_mx(x.data(), 1, 64, MxElement::kE2M1);
  EXPECT_EQ(x[0], 12);  // 5.47 -> 6
  EXPECT_EQ(x[1], 1);   // 0.55 -> 0.5
  EXPECT_EQ(x[2], 0);   // 0.2 -> 0
  EXPECT_EQ(x[32], 768);
  EXPECT_EQ(x[33], 256);
  std::vector<float> y = {450, 1.0f / 3};
  round_mx(y.data(), 1, 2, MxElement::kE4M3);
  EXPECT_EQ(y[0], 448);
  EXPECT_EQ(y[1], 0.34375f);
}

TEST(ActQuant, Nvfp4KeepsAllValuesWithinItsError) {
  TestNumbers numbers(1);
  const auto x = numbers.floats(3 * 50);
  auto y = x;
  const float global = nvfp4_global(x.data(), 3, 50);
  round_nvfp4(y.data(), 3, 50, global);
  for (float& v : y) v *= global;
  EXPECT_LT(relative_l2(y, x), 0.12);
  EXPECT_GT(relative_l2(y, x), 0.01);
}

}  // namespace
}  // namespace wanslim
