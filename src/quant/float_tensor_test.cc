// SPDX-License-Identifier: Apache-2.0
#include "quant/float_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/half.h"

namespace wanslim {
namespace {

Tensor ramp(int64_t count) {
  Tensor t(DType::kF32, {count});
  for (int64_t i = 0; i < count; ++i)
    t.as<float>()[static_cast<size_t>(i)] =
        std::ldexp(1.0f + static_cast<float>(i % 977) / 977, static_cast<int>(i % 60) - 30);
  return t;
}

std::string error_of(const Tensor& t, DType dtype) {
  try {
    float_tensor(t, dtype, "blocks.0.modulation");
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(FloatTensor, RoundsEveryElementToNearest) {
  const Tensor source = ramp(300001);
  const Tensor rounded = float_tensor(source, DType::kBF16, "w");
  for (size_t i = 0; i < 300001; ++i)
    ASSERT_EQ(rounded.as<uint16_t>()[i], float_to_bf16(source.as<float>()[i]));
  const Tensor again = float_tensor(rounded, DType::kBF16, "w");
  EXPECT_TRUE(std::equal(again.raw().begin(), again.raw().end(), rounded.raw().begin()));
  const Tensor wide = float_tensor(rounded, DType::kF32, "w");
  EXPECT_EQ(wide.as<float>()[1234], bf16_to_float(rounded.as<uint16_t>()[1234]));
}

TEST(FloatTensor, NamesTheFirstBadElement) {
  Tensor t(DType::kF32, {1, 6, 8});
  std::fill(t.as<float>().begin(), t.as<float>().end(), 1.0f);
  t.as<float>()[2 * 8 + 3] = NAN;
  EXPECT_THAT(error_of(t, DType::kBF16), ::testing::HasSubstr("blocks.0.modulation[0, 2, 3] is nan"));
  t.as<float>()[2 * 8 + 3] = -INFINITY;
  EXPECT_THAT(error_of(t, DType::kBF16), ::testing::HasSubstr("[0, 2, 3] is -inf"));
  t.as<float>()[2 * 8 + 3] = std::numeric_limits<float>::max();
  EXPECT_THAT(error_of(t, DType::kBF16), ::testing::HasSubstr("too large for BF16"));
  t.as<float>()[2 * 8 + 3] = 65520;
  EXPECT_THAT(error_of(t, DType::kF16), ::testing::HasSubstr("too large for F16"));
  t.as<float>()[2 * 8 + 3] = 3.38e38f;
  EXPECT_EQ(error_of(t, DType::kBF16), "no error");
}

}  // namespace
}  // namespace wanslim
