// SPDX-License-Identifier: Apache-2.0
#include "quant/methods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "base/threads.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

SideConfig side(Encoding encoding, Granularity granularity, std::string method) {
  SideConfig config;
  config.encoding = encoding;
  config.granularity = granularity;
  config.method = std::move(method);
  return config;
}
const SideConfig kInt8Token = side(Encoding::kInt8, Granularity::kToken, "minmax");
const SideConfig kInt8Channel = side(Encoding::kInt8, Granularity::kChannel, "minmax");

LinearWeight linear_of(int64_t out, int64_t in, DType dtype = DType::kF32) {
  LinearWeight linear;
  linear.name = "blocks.3.ffn.0";
  linear.weight = Tensor(dtype, {out, in});
  linear.bias = Tensor(dtype, {out});
  std::mt19937 random(3);
  auto fill = [&](Tensor& tensor) {
    for (int64_t i = 0; i < tensor.count(); ++i) {
      const float value = static_cast<float>(random() / 2147483648.0 - 1);
      const size_t at = static_cast<size_t>(i);
      if (dtype == DType::kF32) {
        tensor.as<float>()[at] = value;
      } else {
        tensor.as<uint16_t>()[at] = dtype == DType::kBF16 ? float_to_bf16(value) : float_to_f16(value);
      }
    }
  };
  fill(linear.weight);
  fill(linear.bias);
  return linear;
}

LinearWeight copy_of(const LinearWeight& linear) {
  return {linear.name, linear.weight.clone(), linear.bias.clone()};
}

std::string error_text(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.text;
  }
  return "no error";
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw().data(), b.raw().data(), a.bytes()) == 0);
}

TEST(Methods, Int8WeightsComeBackWithinHalfAStep) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const LinearWeight linear = linear_of(5, 67, dtype);
    const Tensor exact = weight_as_float(linear, Numerics::kPrecise);
    const QuantizedLinear q = quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, Numerics::kPrecise);
    EXPECT_EQ(q.name, "blocks.3.ffn.0");
    EXPECT_EQ(ascend_type(q.scheme), "W8A8_DYNAMIC");
    ASSERT_EQ(q.weight.shape(), (Shape{5, 67}));
    ASSERT_EQ(q.scale.shape(), (Shape{5, 1}));
    for (size_t i = 0; i < 5 * 67; ++i) {
      const float step = q.scale.as<float>()[i / 67];
      EXPECT_NEAR(exact.as<float>()[i], static_cast<float>(q.weight.as<int8_t>()[i]) * step, 1.6f * step);
    }
    EXPECT_TRUE(same_bytes(q.bias, bias_as_float(linear, Numerics::kPrecise)));
  }
}

TEST(Methods, AGroupHasItsOwnScale) {
  LinearWeight linear = linear_of(2, 128);
  for (size_t i = 0; i < 32; ++i) linear.weight.as<float>()[i] *= 1e-3f;
  SideConfig weight = side(Encoding::kInt4, Granularity::kGroup, "minmax");
  weight.options.group_size = 32;
  const QuantizedLinear q =
      quantize_linear(copy_of(linear), side(Encoding::kFloat, Granularity::kTensor, "none"), weight, {});
  ASSERT_EQ(q.scale.shape(), (Shape{2, 4}));
  EXPECT_EQ(q.scheme.group, 32);
  EXPECT_LT(q.scale.as<float>()[0], 2e-3f / 7);
  EXPECT_GT(q.scale.as<float>()[1], 0.05f);
  for (int8_t code : q.weight.as<int8_t>()) {
    EXPECT_GE(code, -8);
    EXPECT_LE(code, 7);
  }
}

struct Bound {
  SideConfig weight;
  double relative_error;  // rms of the error over rms of the weight, uniform weights
};

TEST(Methods, EveryEncodingComesBackWithinItsBound) {
  const LinearWeight linear = linear_of(40, 1024);
  const Tensor exact = weight_as_float(linear, Numerics::kPrecise);
  const Bound bounds[] = {
      {side(Encoding::kInt8, Granularity::kChannel, "minmax"), 0.004},
      {side(Encoding::kInt8, Granularity::kGroup, "minmax"), 0.004},
      {side(Encoding::kInt4, Granularity::kChannel, "minmax"), 0.072},
      {side(Encoding::kInt4, Granularity::kGroup, "minmax"), 0.07},
      {side(Encoding::kFp8E4M3, Granularity::kChannel, "minmax"), 0.027},
      {side(Encoding::kFp8E4M3, Granularity::kTensor, "minmax"), 0.027},
      {side(Encoding::kMxFp8, Granularity::kBlock, "minmax"), 0.027},
      {side(Encoding::kMxFp8, Granularity::kBlock, "mse_round"), 0.027},
      {side(Encoding::kMxFp4, Granularity::kBlock, "minmax"), 0.125},
      {side(Encoding::kMxFp4, Granularity::kBlock, "ceil_x"), 0.125},
      {side(Encoding::kMxFp4, Granularity::kBlock, "fouroversix"), 0.125},
      {side(Encoding::kMxFp4, Granularity::kDual, "dualscale"), 0.125},
      {side(Encoding::kNvFp4, Granularity::kBlock, "minmax"), 0.1},
  };
  for (const Bound& bound : bounds) {
    const QuantizedLinear q = quantize_linear(
        copy_of(linear), side(Encoding::kFloat, Granularity::kTensor, "none"), bound.weight, {});
    const Tensor values = dequantize(q);
    double error = 0, power = 0;
    for (size_t i = 0; i < static_cast<size_t>(values.count()); ++i) {
      error += std::pow(static_cast<double>(values.as<float>()[i] - exact.as<float>()[i]), 2);
      power += std::pow(static_cast<double>(exact.as<float>()[i]), 2);
    }
    const double relative = std::sqrt(error / power);
    EXPECT_LT(relative, bound.relative_error) << bound.weight.method;
    EXPECT_GT(relative, bound.relative_error / 2) << "the bound is loose: " << bound.weight.method;
    const int64_t bytes = static_cast<int64_t>(q.weight.bytes() + q.scale.bytes() + q.dual_scale.bytes());
    EXPECT_EQ(bytes, quantized_bytes(q.scheme, 40, 1024));
  }
}

TEST(Methods, WhatIsNotANumberIsLocated) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    LinearWeight linear = linear_of(20, 300, dtype);
    const size_t at = 17 * 300 + 203;
    if (dtype == DType::kF32) {
      linear.weight.as<float>()[at] = NAN;
    } else {
      linear.weight.as<uint16_t>()[at] = 0x7fff;
    }
    EXPECT_THAT(error_text([&] { quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, {}); }),
                HasSubstr("blocks.3.ffn.0.weight[17, 203] is NaN"));
  }
  LinearWeight linear = linear_of(4, 8);
  linear.bias.as<float>()[2] = -INFINITY;
  EXPECT_THAT(error_text([&] { quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, {}); }),
              HasSubstr("blocks.3.ffn.0.bias[2] is -infinite"));
}

TEST(Methods, WhatOverflowsBf16IsRefusedInCompatAlone) {
  LinearWeight linear = linear_of(4, 8);
  linear.weight.as<float>()[9] = 3.4e38f;
  EXPECT_THAT(
      error_text([&] { quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, Numerics::kCompat); }),
      HasSubstr("weight[1, 1] is 3.4e+38, too large for bf16"));
  quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, Numerics::kPrecise);
}

TEST(Methods, ThreadsDoNotChangeAByte) {
  const LinearWeight linear = linear_of(300, 1000);
  for (Numerics numerics : {Numerics::kPrecise, Numerics::kCompat}) {
    set_threads(1);
    const QuantizedLinear one = quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, numerics);
    set_threads(3);
    const QuantizedLinear three = quantize_linear(copy_of(linear), kInt8Token, kInt8Channel, numerics);
    set_threads(0);
    EXPECT_TRUE(same_bytes(one.weight, three.weight));
    EXPECT_TRUE(same_bytes(one.scale, three.scale));
  }
}

TEST(Methods, RefusalsSayWhatAndWhere) {
  SideConfig weight = side(Encoding::kInt8, Granularity::kChannel, "minmx");
  weight.place = {.line = 7, .column = 3};
  EXPECT_THAT(
      error_text([&] { check_sides(kInt8Token, weight, {}); }),
      AllOf(HasSubstr("line 7, column 3"), HasSubstr("\"minmx\""), HasSubstr("did you mean \"minmax\"")));
  SideConfig grouped = side(Encoding::kInt4, Granularity::kGroup, "minmax");
  grouped.options.group_size = 48;
  EXPECT_THAT(error_text([&] { check_sides(kInt8Token, grouped, {}); }), HasSubstr("group_size is 48"));
  grouped.options.group_size = 64;
  EXPECT_THAT(error_text([&] { quantize_linear(linear_of(4, 96), kInt8Token, grouped, {}); }),
              AllOf(HasSubstr("blocks.3.ffn.0"), HasSubstr("96 inputs do not divide into groups of 64")));
}

}  // namespace
}  // namespace wanslim
