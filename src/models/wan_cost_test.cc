// SPDX-License-Identifier: Apache-2.0
#include "models/wan_cost.h"

#include <gtest/gtest.h>

namespace wanslim {
namespace {

constexpr double kTera = 1e12;

// The table of spec wan-forward A9; it counts the text's keys and values in every forward.
TEST(WanCost, FollowsThePublishedTable) {
  struct Row {
    const char* variant;
    int64_t tokens;
    double linear, total;
  };
  const Row rows[] = {{"t2v-1.3B", 1560, 4.05, 4.65},
                      {"t2v-1.3B", 32760, 82, 283},
                      {"t2v-14B", 1560, 39.4, 42.1},
                      {"t2v-14B", 32760, 785, 1678},
                      {"i2v-14B-480P", 32760, 785, 1686}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.variant + std::string(" ") + std::to_string(row.tokens));
    const WanCost cost = forward_cost(wan_variant(row.variant).geometry, row.tokens, 512);
    const double text = 512 / static_cast<double>(row.tokens) * 0.15;
    EXPECT_NEAR(cost.linear / kTera / row.linear, 1, 0.01 + text);
    EXPECT_NEAR(cost.total() / kTera / row.total, 1, 0.01 + text);
  }
}

TEST(WanCost, Vae) {
  EXPECT_NEAR(vae_decode_cost(96, 1, 256 * 256) / kTera, 0.71, 0.01);
  EXPECT_NEAR(vae_decode_cost(96, 5, 256 * 256) / kTera, 2.9, 0.05);
  EXPECT_NEAR(vae_decode_cost(96, 81, 832 * 480) / kTera, 275, 5);
}

TEST(WanCost, TheRateIsMeasured) {
  EXPECT_GT(measure_product_rate(Compute::kF32), 0);
  EXPECT_GT(measure_product_rate(Compute::kBF16), 0);
}

}  // namespace
}  // namespace wanslim
