// SPDX-License-Identifier: Apache-2.0
#include "models/synth_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/hash.h"

namespace wanslim {
namespace {

std::vector<float> values(const TensorSpec& spec, uint64_t seed = 7) {
  std::vector<float> out(static_cast<size_t>(element_count(spec.shape)));
  SynthTensor(seed, spec).fill(0, out);
  return out;
}

TensorSpec weight(Shape shape, TensorRole role = TensorRole::kLinearWeight) {
  return {.name = "blocks.3.ffn.0.weight",
          .shape = std::move(shape),
          .layer = "blocks.3.ffn.0",
          .role = role,
          .unit = "blocks.3"};
}

TEST(SynthValues, AnElementDependsOnSeedNameAndIndexAlone) {
  for (TensorRole role : {TensorRole::kLinearWeight, TensorRole::kNormWeight}) {
    const TensorSpec spec = weight({37, 101}, role);
    const std::vector<float> whole = values(spec);
    for (size_t first : {0u, 1u, 100u, 101u, 202u, 3000u}) {
      for (size_t count : {1u, 99u, 102u, 500u}) {
        std::vector<float> part(count);
        SynthTensor(7, spec).fill(static_cast<int64_t>(first), part);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<int64_t>(first)));
      }
    }
  }
  TensorSpec other = weight({37, 101});
  other.name = "blocks.4.ffn.0.weight";
  EXPECT_NE(values(other), values(weight({37, 101})));
  EXPECT_NE(values(weight({37, 101}), 8), values(weight({37, 101}), 7));
}

// The bits are part of what `synth` promises: the same file for one seed on every machine and in every
// version.
TEST(SynthValues, BitsAreFixed) {
  const auto hash = [](TensorRole role) {
    const std::vector<float> bits = values(weight({300, 1000}, role));
    return hash_hex(std::as_bytes(std::span(bits)));
  };
  EXPECT_EQ(hash(TensorRole::kLinearWeight), "6899f6762da4a671c628691f5d35733d");
  EXPECT_EQ(hash(TensorRole::kNormWeight), "24b6bf85b7554a3e9a628b9acc471611");
  EXPECT_EQ(hash(TensorRole::kModulation), "5147590ed68d5787db5efb37a4225371");
}

TEST(SynthValues, WeightsHaveHeavyChannelsTailsAndDeadRows) {
  constexpr int64_t kRows = 2048, kColumns = 1536;
  const std::vector<float> w = values(weight({kRows, kColumns}));
  std::vector<double> row(kRows), column(kColumns);
  double sum = 0, largest = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kColumns; ++c) {
      const double x = w[static_cast<size_t>(r * kColumns + c)];
      sum += x;
      row[static_cast<size_t>(r)] += x * x / kColumns;
      column[static_cast<size_t>(c)] += x * x / kRows;
      largest = std::max(largest, std::abs(x));
    }
  }
  const auto count = [](const std::vector<double>& energies, double from, double to) {
    return std::count_if(energies.begin(), energies.end(),
                         [&](double e) { return std::sqrt(e) >= from && std::sqrt(e) < to; });
  };
  std::vector<double> sorted = column;
  std::nth_element(sorted.begin(), sorted.begin() + kColumns / 2, sorted.end());
  const double typical = std::sqrt(sorted[kColumns / 2]);
  EXPECT_GT(typical * std::sqrt(kColumns), 0.4);
  EXPECT_LT(typical * std::sqrt(kColumns), 2.0);
  EXPECT_LT(std::abs(sum / (kRows * kColumns)), typical / 100);
  EXPECT_GT(largest, 15 * typical);
  EXPECT_THAT(count(column, 2.3 * typical, 8 * typical),
              ::testing::AllOf(::testing::Ge(2), ::testing::Le(16)));
  EXPECT_THAT(count(row, 0, 1e-30), ::testing::AllOf(::testing::Ge(1), ::testing::Le(12)));
  EXPECT_THAT(count(row, 1e-30, typical / 1000), ::testing::AllOf(::testing::Ge(4), ::testing::Le(40)));
}

TEST(SynthValues, NormsAreNearOneAndTheRestSmall) {
  const auto near = [](TensorRole role, float center, float most) {
    double mean = 0;
    const std::vector<float> v = values(weight({20000}, role));
    for (float x : v) {
      EXPECT_LE(std::abs(x - center), most);
      mean += x / 20000;
    }
    EXPECT_NEAR(mean, center, 0.01);
  };
  near(TensorRole::kNormWeight, 1, 3);
  near(TensorRole::kLinearBias, 0, 0.75);
  near(TensorRole::kModulation, 0, 1.5);
}

}  // namespace
}  // namespace wanslim
