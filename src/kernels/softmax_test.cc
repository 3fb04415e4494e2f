// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_nn.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

std::vector<float> scores(size_t count, float scale) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = scale * std::sin(static_cast<float>(i * i % 97));
  return out;
}

TEST(Softmax, follows_the_definition_with_a_sliding_bias) {
  each_target([] {
    for (int64_t width : {1, 2, 7, 16, 33, 130}) {
      const int64_t rows = 5;
      const std::vector<float> x = scores(static_cast<size_t>(rows * width), 8);
      const std::vector<float> bias = scores(static_cast<size_t>(width + rows), 3);
      std::vector<float> y = x;
      softmax_rows(y.data(), rows, width, bias.data() + rows, -1, false);
      for (int64_t row = 0; row < rows; ++row) {
        const auto want = reference::softmax({x.data() + row * width, static_cast<size_t>(width)},
                                             {bias.data() + rows - row, static_cast<size_t>(width)});
        for (int64_t j = 0; j < width; ++j) {
          const double expected = want[static_cast<size_t>(j)];
          ASSERT_NEAR(y[static_cast<size_t>(row * width + j)], expected, 2e-6 * expected + 1e-12) << width;
        }
      }
    }
  });
}

TEST(Softmax, rounds_the_sum_and_the_result_to_bf16) {
  each_target([] {
    std::vector<float> x = {1.0f, 1.0f};
    const std::vector<float> bias = {0.0f, 0.003f};  // lost when 1.003 is rounded to bf16
    softmax_rows(x.data(), 1, 2, bias.data(), 0, true);
    EXPECT_EQ(x[0], 0.5f);
    EXPECT_EQ(x[1], 0.5f);
    std::vector<float> y = scores(37, 2);
    softmax_rows(y.data(), 1, 37, nullptr, 0, true);
    for (float value : y) EXPECT_EQ(value, round_bf16(value));
  });
}

TEST(Softmax, a_row_with_nan_becomes_nan_and_no_other) {
  each_target([] {
    std::vector<float> x = scores(3 * 19, 1);
    x[19 + 4] = std::numeric_limits<float>::quiet_NaN();
    softmax_rows(x.data(), 3, 19, nullptr, 0, false);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(std::isnan(x[i]), i / 19 == 1) << i;
  });
}

}  // namespace
}  // namespace wanslim
