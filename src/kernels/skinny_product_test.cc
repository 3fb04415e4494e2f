// SPDX-License-Identifier: Apache-2.0
#include "kernels/skinny_product.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_nn.h"

namespace wanslim {
namespace {

TEST(SkinnyProduct, has_the_bits_of_the_plain_loop_on_every_target) {
  for (const auto& [rows, columns, groups] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 17, 2}, {8, 64, 1}, {70, 515, 3}, {131, 1030, 2}, {5, 0, 1}}) {
    std::vector<float> matrix(static_cast<size_t>(rows * columns));
    for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = std::sin(0.37f * static_cast<float>(i) + 1);
    std::vector<double> vectors(static_cast<size_t>(groups * columns) * kSkinnyLanes);
    for (size_t i = 0; i < vectors.size(); ++i) vectors[i] = std::cos(1.3 * static_cast<double>(i));
    const std::vector<double> want = reference::skinny_product(matrix, rows, columns, vectors, groups);
    each_target([&, rows = rows, columns = columns, groups = groups] {
      std::vector<double> got(want.size(), 7);
      skinny_product(matrix.data(), rows, columns, vectors.data(), groups, got.data());
      EXPECT_EQ(got, want);
    });
  }
}

}  // namespace
}  // namespace wanslim
