// SPDX-License-Identifier: Apache-2.0
// The exponents of `precise` against a plain search over all candidates, in the arithmetic of the reference
// kernels.
#include "quant/mx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "kernels/reference_minifloat.h"
#include "quant/mx_exponent.h"

namespace wanslim {
namespace {

constexpr size_t kBlock = 32;

// Blocks whose largest value lies anywhere between powers of two, alone far above the others or among equals;
// zeros and numbers near the smallest.
std::vector<float> blocks_of_all_kinds(size_t count) {
  std::mt19937 random(7);
  const auto uniform = [&] { return static_cast<float>(random()) / 4294967296.0f; };
  std::vector<float> values(count * kBlock);
  for (size_t b = 0; b < count; ++b) {
    const float size = std::ldexp(1 + uniform(), static_cast<int>(random() % 24) - 20);
    const float rest = b % 5 == 0 ? 0.01f : b % 5 == 1 ? 0.3f : 1.0f;
    for (size_t i = 0; i < kBlock; ++i) {
      const float x = (2 * uniform() - 1) * size;
      values[b * kBlock + i] = i == b % kBlock ? size : x * rest;
    }
    if (b % 7 == 3) {  // one value at 4 units, the others between two steps: worth clipping the one
      const float unit = std::ldexp(1.0f, static_cast<int>(random() % 20) - 22);
      for (size_t i = 0; i < kBlock; ++i)
        values[b * kBlock + i] = unit * (i == b % kBlock ? 4 + 0.2f * uniform() : 0.7f + 0.1f * uniform());
    }
    if (b % 17 == 0) std::fill_n(&values[b * kBlock], kBlock, 0.0f);
    if (b % 19 == 0) std::fill_n(&values[b * kBlock], kBlock, std::ldexp(1 + uniform(), -124));
  }
  return values;
}

// The first of the smallest errors among the exponent that just holds absmax, the next, and for FP4 the one
// before.
int searched_exponent(std::span<const float> block, MiniFloat format) {
  float absmax = 0;
  for (float x : block) absmax = std::max(absmax, std::fabs(x));
  const int emax = format.max == 448 ? 8 : 2;
  if (absmax == 0) return -127;
  int best = 0;
  float best_error = INFINITY;
  for (int offset : {0, 1, -1}) {
    if (offset < 0 && emax == 8) continue;
    const int exponent = std::max(floor_log2(absmax) - emax + offset, -127);
    const float inverse = mx_scale(-exponent);
    float error = 0;
    reference::minifloat_errors(block, kBlock, format, {&inverse, 1}, {&error, 1});
    error *= mx_scale(2 * offset);
    if (error < best_error) best_error = error, best = exponent;
  }
  return best;
}

TEST(Mx, SparedCandidatesWouldNotHaveWon) {
  constexpr size_t kRows = 40, kBlocks = 16;
  const std::vector<float> values = blocks_of_all_kinds(kRows * kBlocks);
  LinearWeight linear{.name = "blocks.0.ffn.0", .weight = Tensor(DType::kF32, {kRows, kBlocks * kBlock})};
  std::ranges::copy(values, linear.weight.as<float>().begin());
  for (const Encoding encoding : {Encoding::kMxFp8, Encoding::kMxFp4}) {
    const MiniFloat format = encoding == Encoding::kMxFp8 ? kE4M3 : kE2M1;
    const QuantScheme scheme{.weight = encoding, .weight_granularity = Granularity::kBlock, .group = 32};
    const QuantizedLinear q = quantize_mx(linear, scheme, MxMethod::kMinMax, {}, Numerics::kPrecise);
    std::array<int, 3> taken = {};
    for (size_t b = 0; b < kRows * kBlocks; ++b) {
      const std::span<const float> block = std::span(values).subspan(b * kBlock, kBlock);
      const int expected = searched_exponent(block, format);
      ASSERT_EQ(q.scale.as<uint8_t>()[b] - 127, expected) << "block " << b;
      const float absmax = std::fabs(block[(b % kBlock)]);
      if (expected > -127)
        ++taken[static_cast<size_t>(expected - floor_log2(absmax) + (format.max == 448 ? 8 : 2) + 1)];
    }
    EXPECT_GT(taken[1], 20);  // each candidate wins somewhere, or the test shows nothing
    EXPECT_GT(taken[2], 20);
    if (encoding == Encoding::kMxFp4) {
      EXPECT_GT(taken[0], 20);
    }
  }
}

}  // namespace
}  // namespace wanslim
