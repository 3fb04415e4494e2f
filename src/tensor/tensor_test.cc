// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/half.h"
#include "tensor/quantized.h"

namespace wanslim {
namespace {

TEST(Half, EveryShortFloatSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto b = static_cast<uint16_t>(bits);
    if (!std::isnan(bf16_to_float(b))) {
      ASSERT_EQ(float_to_bf16(bf16_to_float(b)), b);
    }
    if (!std::isnan(f16_to_float(b))) {
      ASSERT_EQ(float_to_f16(f16_to_float(b)), b);
    }
  }
  for (uint32_t bits = 0; bits < 0x100; ++bits) {
    const auto b = static_cast<uint8_t>(bits);
    if (!std::isnan(e4m3_to_float(b))) {
      ASSERT_EQ(float_to_e4m3(e4m3_to_float(b)), b);
    }
    if (!std::isnan(e5m2_to_float(b))) {
      ASSERT_EQ(float_to_e5m2(e5m2_to_float(b)), b);
    }
  }
}

TEST(Half, RoundsHalfToEven) {
  EXPECT_EQ(round_bf16(1.0f + 1.0f / 256), 1.0f);
  EXPECT_EQ(round_bf16(1.0f + 3.0f / 256), 1.0f + 4.0f / 256);
  EXPECT_EQ(f16_to_float(float_to_f16(1.0f + 1.0f / 2048)), 1.0f);
  EXPECT_EQ(e4m3_to_float(float_to_e4m3(17.0f)), 16.0f);
  EXPECT_EQ(e4m3_to_float(float_to_e4m3(19.0f)), 20.0f);
}

TEST(Half, KnowsTheEndsOfEachRange) {
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(std::ldexp(1.0f, -24)), 1);
  EXPECT_EQ(float_to_f16(std::ldexp(1.0f, -25)), 0);
  EXPECT_EQ(float_to_e4m3(448.0f), 0x7e);
  EXPECT_EQ(float_to_e4m3(464.0f), 0x7e);
  EXPECT_EQ(float_to_e4m3(464.1f), 0x7f);
  EXPECT_EQ(float_to_e5m2(57344.0f), 0x7b);
  EXPECT_EQ(float_to_e5m2(61440.0f), 0x7c);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(NAN))));
  EXPECT_TRUE(std::isinf(bf16_to_float(float_to_bf16(3.4e38f))));
}

TEST(Half, F16RoundsToTheNearestAndTiesToEven) {
  for (uint32_t code = 0; code < 0x7bff; ++code) {
    const float low = f16_to_float(static_cast<uint16_t>(code));
    const float high = f16_to_float(static_cast<uint16_t>(code + 1));
    const float middle = low + (high - low) / 2;
    const uint32_t even = code + code % 2;
    for (float sign : {1.0f, -1.0f}) {
      const uint32_t bit = sign < 0 ? 0x8000u : 0;
      ASSERT_EQ(float_to_f16(sign * middle), even | bit) << low;
      ASSERT_EQ(float_to_f16(sign * std::nextafter(middle, low)), code | bit) << low;
      ASSERT_EQ(float_to_f16(sign * std::nextafter(middle, high)), (code + 1) | bit) << low;
    }
  }
}

TEST(Tensor, OwnsAlignedBytesAndClones) {
  Tensor t(DType::kF32, {2, 3});
  EXPECT_EQ(t.bytes(), 24u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw().data()) % 64, 0u);
  t.as<float>()[5] = 7;
  EXPECT_EQ(t.clone().as<float>()[5], 7);
  EXPECT_TRUE(Tensor().empty());
  EXPECT_FALSE(Tensor(DType::kF32, {0, 4}).empty());
}

TEST(Shape, RefusesNegativeAndOverflow) {
  EXPECT_THROW(element_count({2, -1}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(to_string(Shape{3, 4}), "[3, 4]");
}

TEST(Quantized, NamesAndSizesOfTheSeedsScheme) {
  const QuantScheme w8a8{.weight = Encoding::kInt8,
                         .activation = Encoding::kInt8,
                         .activation_granularity = Granularity::kToken};
  EXPECT_EQ(ascend_type(w8a8), "W8A8_DYNAMIC");
  EXPECT_EQ(quantized_bytes(w8a8, 10, 64), 640 + 40);
  const QuantScheme q4k{.weight = Encoding::kQ4_K, .weight_granularity = Granularity::kBlock};
  EXPECT_EQ(quantized_bytes(q4k, 2, 512), 4 * 144);
  EXPECT_EQ(ascend_type(q4k), "");
}

}  // namespace
}  // namespace wanslim
