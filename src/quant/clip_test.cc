// SPDX-License-Identifier: Apache-2.0
#include "quant/clip.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/round.h"
#include "quant/minmax_int.h"
#include "quant/ssz.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

// Normal values and a few outliers, as trained weights have.
LinearWeight trained_like(int64_t out, int64_t in) {
  LinearWeight linear{"layer", Tensor(DType::kF32, {out, in}), {}};
  std::mt19937 random(9);
  auto uniform = [&] { return static_cast<float>(random() / 2147483648.0 - 1); };
  for (float& x : linear.weight.as<float>()) {
    x = (uniform() + uniform() + uniform() + uniform()) * 0.02f;
    if (random() % 200 == 0) x *= 4;
  }
  return linear;
}

double error_of(const LinearWeight& linear, const QuantizedLinear& q,
                const std::vector<float>& energies = {}) {
  const Tensor values = dequantize(q);
  double sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(values.count()); ++i) {
    const double e =
        static_cast<double>(values.as<float>()[i]) - static_cast<double>(linear.weight.as<float>()[i]);
    const size_t column = i % static_cast<size_t>(linear.in());
    sum += e * e * (energies.empty() ? 1.0 : static_cast<double>(energies[column]));
  }
  return sum;
}

QuantScheme scheme_for(Encoding weight, int group) {
  QuantScheme scheme;
  scheme.weight = weight;
  scheme.weight_granularity = group > 0 ? Granularity::kGroup : Granularity::kChannel;
  scheme.group = group;
  return scheme;
}

TEST(Clip, BeatsMinmaxAtEveryWidthAndGroup) {
  const LinearWeight linear = trained_like(24, 1024);
  struct Gain {
    QuantScheme scheme;
    double clip, ssz;  // error at most this share of minmax's
  };
  const Gain gains[] = {{scheme_for(Encoding::kInt8, 0), 0.99, 0.99},
                        {scheme_for(Encoding::kInt4, 0), 0.56, 0.6},
                        {scheme_for(Encoding::kInt4, 128), 0.94, 0.95},
                        {scheme_for(Encoding::kInt4, 32), 0.94, 0.95}};
  for (const Gain& gain : gains) {
    const double minmax = error_of(linear, quantize_int_minmax(linear, gain.scheme, Numerics::kPrecise));
    const double clip = error_of(linear, quantize_clip(linear, gain.scheme));
    const double ssz = error_of(linear, quantize_ssz(linear, gain.scheme, {}, Numerics::kPrecise));
    EXPECT_LT(clip / minmax, gain.clip) << gain.scheme.group;
    EXPECT_LT(ssz / minmax, gain.ssz) << gain.scheme.group;
  }
}

TEST(Clip, IsTheBestOfAllBf16Scales) {
  const LinearWeight linear = trained_like(6, 256);
  const QuantizedLinear q = quantize_clip(linear, scheme_for(Encoding::kInt4, 0));
  for (size_t r = 0; r < 6; ++r) {
    const auto row = linear.weight.as<float>().subspan(r * 256, 256);
    auto error_at = [&](float scale) {
      double sum = 0;
      for (float x : row) {
        const double code = std::min(7.0, std::max(-8.0, std::nearbyint(static_cast<double>(x) / scale)));
        sum += std::pow(x - code * scale, 2);
      }
      return sum;
    };
    double best = INFINITY;
    for (float scale = 0.1f * absmax(row) / 7; scale < absmax(row) / 6; scale *= 1.003f) {
      best = std::min(best, error_at(scale));
    }
    EXPECT_LT(error_at(q.scale.as<float>()[r]), 1.02 * best) << r;
  }
}

TEST(Clip, EnergiesShiftTheErrorToWhereItCostsLess) {
  const LinearWeight linear = trained_like(16, 512);
  std::vector<float> energies(512, 0.01f);
  for (size_t i = 0; i < 512; i += 16) energies[i] = 100;
  for (int group : {0, 128}) {
    const QuantScheme scheme = scheme_for(Encoding::kInt4, group);
    const QuantizedLinear plain = quantize_clip(linear, scheme),
                          weighted = quantize_clip(linear, scheme, energies);
    EXPECT_LT(error_of(linear, weighted, energies), 0.95 * error_of(linear, plain, energies));
    EXPECT_GT(error_of(linear, weighted), error_of(linear, plain));
  }
}

TEST(Clip, RowsOfZerosStayZero) {
  LinearWeight linear = trained_like(3, 64);
  for (size_t i = 64; i < 128; ++i) linear.weight.as<float>()[i] = 0;
  for (const QuantizedLinear& q :
       {quantize_clip(linear, scheme_for(Encoding::kInt4, 0)),
        quantize_ssz(linear, scheme_for(Encoding::kInt4, 0), {}, Numerics::kPrecise),
        quantize_ssz(linear, scheme_for(Encoding::kInt4, 0), {}, Numerics::kCompat)}) {
    const Tensor values = dequantize(q);
    for (size_t i = 64; i < 128; ++i) EXPECT_EQ(values.as<float>()[i], 0);
    EXPECT_EQ(q.scale.as<float>()[1], 0x1p-23f);
  }
}

}  // namespace
}  // namespace wanslim
