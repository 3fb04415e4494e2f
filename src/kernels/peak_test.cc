// SPDX-License-Identifier: Apache-2.0
#include "kernels/peak.h"

#include <gtest/gtest.h>

namespace wanslim {
namespace {

// How high they are is not a test's business.
TEST(Peak, EveryRateIsMeasured) {
  constexpr double kShort = 0.001;
  EXPECT_GT(register_rate_f32(kShort), 0);
  for (GemmType type : {GemmType::kF32, GemmType::kBF16, GemmType::kS8}) {
    EXPECT_GT(micro_kernel_rate(type, kShort), 0);
  }
  EXPECT_GT(memory_rate(kShort), 0);
}

}  // namespace
}  // namespace wanslim
