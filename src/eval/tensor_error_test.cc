// SPDX-License-Identifier: Apache-2.0
#include "eval/tensor_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

TEST(TensorError, ByHand) {
  const std::vector<float> a = {3, 4}, b = {3, 5};
  const TensorError e = tensor_error(a, b);
  EXPECT_DOUBLE_EQ(e.rel_l2, 0.2);
  EXPECT_DOUBLE_EQ(e.cosine, 29 / (5 * std::sqrt(34.0)));
  EXPECT_NEAR(e.sqnr_db, 10 * std::log10(25.0), 1e-12);
  EXPECT_EQ(e.max_abs, 1);
  EXPECT_FALSE(e.identical);
}

TEST(TensorError, EdgesHaveNoSurprises) {
  const std::vector<float> zero = {0, 0}, one = {1, 0};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(tensor_error(zero, zero).identical);
  EXPECT_EQ(tensor_error(zero, zero).sqnr_db, INFINITY);
  EXPECT_TRUE(std::isnan(tensor_error(zero, one).rel_l2));
  const TensorError e = tensor_error(std::vector<float>{nan, 1}, one);
  EXPECT_FALSE(e.identical);
  EXPECT_FALSE(e.rel_l2 <= 1);
  EXPECT_TRUE(std::isnan(e.max_abs) || e.max_abs > 0);
}

TEST(TensorError, LatentFramesAreTheSecondDimension) {
  Tensor a(DType::kF32, {2, 3, 1, 1}), b(DType::kF32, {2, 3, 1, 1});
  for (size_t i = 0; i < 6; ++i) a.as<float>()[i] = b.as<float>()[i] = static_cast<float>(i + 1);
  b.as<float>()[4] = 0;  // channel 1, frame 1
  const std::vector<TensorError> frames = frame_errors(a, b);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_TRUE(frames[0].identical);
  EXPECT_DOUBLE_EQ(frames[1].rel_l2, 5 / std::sqrt(29.0));
  EXPECT_TRUE(frames[2].identical);
}

TEST(TensorError, TakesEveryNumberType) {
  Tensor h(DType::kBF16, {1});
  h.as<uint16_t>()[0] = float_to_bf16(1.5f);
  EXPECT_EQ(to_float(h, "h").as<float>()[0], 1.5f);
  Tensor i(DType::kI8, {1});
  i.as<int8_t>()[0] = -7;
  EXPECT_EQ(to_float(i, "i").as<float>()[0], -7);
  EXPECT_THROW(to_float(Tensor(DType::kBool, {1}), "b"), Error);
}

}  // namespace
}  // namespace wanslim
