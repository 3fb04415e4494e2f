// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_nn.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr Activation kAll[] = {Activation::kGeluTanh, Activation::kGeluErf, Activation::kSilu};

TEST(Activation, WithinTwoTenMillionthsOfTheDefinition) {
  std::vector<float> inputs;
  for (float x = -30; x < 30; x += 0.0037f) inputs.push_back(x);
  for (float x : {0.0f, 1e-20f, -1e-6f, 1e4f, -1e4f, 3e38f}) inputs.push_back(x);
  each_target([&] {
    for (Activation activation : kAll) {
      std::vector<float> y = inputs;
      activate(activation, false, y);
      for (size_t i = 0; i < y.size(); ++i) {
        const double expected = reference::activate(activation, inputs[i]);
        const double size = std::max(std::abs(expected), std::min<double>(std::abs(inputs[i]), 1.0));
        ASSERT_NEAR(y[i], expected, 2e-7 * size) << static_cast<int>(activation) << " of " << inputs[i];
      }
    }
  });
}

TEST(Activation, TheTwoGelusDiffer) {
  std::vector<float> tanh_form = {1.5f}, erf_form = {1.5f};
  activate(Activation::kGeluTanh, false, tanh_form);
  activate(Activation::kGeluErf, false, erf_form);
  EXPECT_NEAR(tanh_form[0], 1.39957f, 1e-5);
  EXPECT_NEAR(erf_form[0], 1.39979f, 1e-5);
}

TEST(Activation, RoundsToBf16AndKeepsNan) {
  each_target([] {
    for (size_t count : {1, 3, 17, 64, 65}) {
      std::vector<float> y(count, 0.7f);
      y.back() = std::numeric_limits<float>::quiet_NaN();
      activate(Activation::kGeluTanh, true, y);
      EXPECT_TRUE(std::isnan(y.back()));
      for (size_t i = 0; i + 1 < count; ++i) EXPECT_EQ(y[i], round_bf16(y[i]));
    }
  });
}

}  // namespace
}  // namespace wanslim
