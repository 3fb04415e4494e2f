// SPDX-License-Identifier: Apache-2.0
#include "kernels/low_rank.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_nn.h"

namespace wanslim {
namespace {

std::vector<float> values(int64_t count, float step) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::sin(step * static_cast<float>(i) + step);
  return out;
}

TEST(LowRank, has_the_bits_of_the_plain_loop_on_every_target) {
  for (const auto& [out, in, rank] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 17, 2}, {8, 64, 16}, {70, 515, 5}, {9, 33, 1}}) {
    const std::vector<float> weight = values(out * in, 0.37f), up = values(out * rank, 1.3f),
                             down = values(rank * in, 0.71f);
    std::vector<float> want = weight;
    reference::add_low_rank(want, up, down, rank, 0.3f);
    each_target([&, out = out, in = in, rank = rank] {
      std::vector<float> got = weight;
      add_low_rank(got.data(), out, in, up.data(), down.data(), rank, 0.3f);
      EXPECT_EQ(got, want);
    });
  }
}

}  // namespace
}  // namespace wanslim
