// SPDX-License-Identifier: Apache-2.0
// `precise` MX weights hold the exponents of the plain search; a dual scale leaves no more error than one
// scale would.
#include "quant/mx.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "base/error.h"
#include "kernels/reference_minifloat.h"
#include "quant/mx_exponent.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

constexpr int64_t kMxRows = 24, kColumns = 1024;

LinearWeight random_linear() {
  std::mt19937 random(3);
  LinearWeight linear{.name = "blocks.0.ffn.0", .weight = Tensor(DType::kF32, {kMxRows, kColumns})};
  const std::span<float> weight = linear.weight.as<float>();
  for (size_t i = 0; i < weight.size(); ++i) {
    const float size = std::ldexp(1.0f, static_cast<int>(i / kMxBlock * 7 % 5) - 8);
    weight[i] = (static_cast<float>(random()) / 2147483648.0f - 1) * size * (i % 97 == 0 ? 6.0f : 1.0f);
  }
  std::fill_n(weight.begin(), 2 * kMxBlock, 0.0f);
  return linear;
}

double squared_error(const QuantizedLinear& q, const Tensor& weight) {
  const Tensor got = dequantize(q);
  double sum = 0;
  for (size_t i = 0; i < weight.as<float>().size(); ++i) {
    const double d = static_cast<double>(got.as<float>()[i]) - static_cast<double>(weight.as<float>()[i]);
    sum += d * d;
  }
  return sum;
}

QuantScheme scheme_of(Encoding encoding, Granularity granularity) {
  return {.weight = encoding, .weight_granularity = granularity, .group = 32};
}

TEST(Mx, ExponentsAreThoseOfThePlainSearch) {
  const LinearWeight linear = random_linear();
  for (const Encoding encoding : {Encoding::kMxFp8, Encoding::kMxFp4}) {
    const MiniFloat format = encoding == Encoding::kMxFp8 ? kE4M3 : kE2M1;
    const QuantizedLinear q = quantize_mx(linear, scheme_of(encoding, Granularity::kBlock), MxMethod::kMinMax,
                                          {}, Numerics::kPrecise);
    std::vector<int> expected(static_cast<size_t>(q.scale.count()));
    std::vector<float> absmax(expected.size());
    reference::block_absmax(linear.weight.as<float>(), kMxBlock, absmax);
    reference::mx_search(linear.weight.as<float>(), absmax, 1, format, -127, expected);
    for (size_t b = 0; b < expected.size(); ++b) ASSERT_EQ(q.scale.as<uint8_t>()[b] - 127, expected[b]) << b;
  }
}

TEST(Mx, DualScaleGainsOverPowersOfTwoAndOverTheReference) {
  const LinearWeight linear = random_linear();
  const auto error = [&](Granularity granularity, MxMethod method, Numerics numerics) {
    MethodOptions options;
    options.dual_block_size = 512;
    return squared_error(
        quantize_mx(linear, scheme_of(Encoding::kMxFp4, granularity), method, options, numerics),
        linear.weight);
  };
  const double dual = error(Granularity::kDual, MxMethod::kDualScale, Numerics::kPrecise);
  EXPECT_LT(dual, 0.99 * error(Granularity::kBlock, MxMethod::kMinMax, Numerics::kPrecise));
  EXPECT_LT(dual, 0.97 * error(Granularity::kDual, MxMethod::kDualScale, Numerics::kCompat));
}

TEST(Mx, RefusesWhatIsNotFiniteByItsPlace) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const Encoding encoding : {Encoding::kMxFp8, Encoding::kMxFp4}) {
      LinearWeight linear = random_linear();
      linear.weight.as<float>()[5 * kColumns + 77] = bad;
      try {
        quantize_mx(linear, scheme_of(encoding, Granularity::kBlock), MxMethod::kMinMax, {},
                    Numerics::kPrecise);
        ADD_FAILURE() << bad;
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("blocks.0.ffn.0.weight[5, 77]"), std::string::npos)
            << error.what();
      }
    }
  }
}

// What is far below the rest of its dual block, and blocks that are 0 or near it.
TEST(Mx, DualScaleTakesAnyMagnitude) {
  LinearWeight linear = random_linear();
  const std::span<float> weight = linear.weight.as<float>();
  for (size_t i = 0; i < weight.size(); ++i)
    weight[i] *= std::ldexp(1.0f, static_cast<int>(i / 512 % 7) * 30 - 90);
  std::fill_n(weight.begin() + 512, 512, 0.0f);
  for (size_t i = 2048; i < 2048 + 96; ++i) weight[i] *= 0x1p-60f;
  MethodOptions options;
  options.dual_block_size = 512;
  const QuantizedLinear q = quantize_mx(linear, scheme_of(Encoding::kMxFp4, Granularity::kDual),
                                        MxMethod::kDualScale, options, Numerics::kPrecise);
  const Tensor got = dequantize(q);
  for (size_t k = 0; k < weight.size(); k += 512) {
    double signal = 0, noise = 0;
    for (size_t i = k; i < k + 512; ++i) {
      const double x = static_cast<double>(weight[i]), d = static_cast<double>(got.as<float>()[i]) - x;
      signal += x * x, noise += d * d;
    }
    EXPECT_LE(noise, 0.05 * signal) << "dual block " << k / 512;
  }
}

}  // namespace
}  // namespace wanslim
