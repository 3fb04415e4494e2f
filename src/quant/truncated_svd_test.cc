// SPDX-License-Identifier: Apache-2.0
#include "quant/truncated_svd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/threads.h"
#include "quant/symmetric_eigen.h"

namespace wanslim {
namespace {

Tensor random_matrix(int64_t rows, int64_t columns, uint32_t seed = 1) {
  Tensor t(DType::kF32, {rows, columns});
  std::mt19937 random(seed);
  for (float& x : t.as<float>()) x = static_cast<float>(random() / 2147483648.0 - 1);
  return t;
}

// a [m, k] * b [k, n].
Tensor times(const Tensor& a, const Tensor& b) {
  Tensor out(DType::kF32, {a.dim(0), b.dim(1)});
  const size_t m = static_cast<size_t>(a.dim(0)), k = static_cast<size_t>(a.dim(1)),
               n = static_cast<size_t>(b.dim(1));
  for (size_t r = 0; r < m; ++r) {
    for (size_t c = 0; c < n; ++c) {
      double sum = 0;
      for (size_t i = 0; i < k; ++i)
        sum += static_cast<double>(a.as<float>()[r * k + i]) * static_cast<double>(b.as<float>()[i * n + c]);
      out.as<float>()[r * n + c] = static_cast<float>(sum);
    }
  }
  return out;
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(a.count()); ++i) {
    const double d = static_cast<double>(a.as<float>()[i]) - static_cast<double>(b.as<float>()[i]);
    sum += d * d;
  }
  return sum;
}

// All squared singular values, falling.
std::vector<double> spectrum(const Tensor& a) {
  const size_t m = static_cast<size_t>(a.dim(0)), n = static_cast<size_t>(a.dim(1));
  std::vector<double> gram(m * m);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < m; ++j) {
      for (size_t k = 0; k < n; ++k)
        gram[i * m + j] +=
            static_cast<double>(a.as<float>()[i * n + k]) * static_cast<double>(a.as<float>()[j * n + k]);
    }
  }
  return symmetric_eigen(gram, m).values;
}

TEST(SymmetricEigen, ValuesAndVectorsOfAKnownMatrix) {
  const Eigen e = symmetric_eigen({2, 1, 0, 1, 2, 0, 0, 0, 5}, 3);
  ASSERT_EQ(e.values.size(), 3u);
  EXPECT_NEAR(e.values[0], 5, 1e-14);
  EXPECT_NEAR(e.values[1], 3, 1e-14);
  EXPECT_NEAR(e.values[2], 1, 1e-14);
  EXPECT_NEAR(std::fabs(e.vectors[3]), std::sqrt(0.5), 1e-14);
  EXPECT_NEAR(e.vectors[3], e.vectors[4], 1e-14);
  const Eigen zero = symmetric_eigen({0, 0, 0, 0}, 2);
  EXPECT_EQ(zero.values, (std::vector<double>{0, 0}));
}

TEST(TruncatedSvd, FindsAMatrixOfThatRankExactly) {
  const Tensor matrix = times(random_matrix(70, 5), random_matrix(5, 130, 2));
  const LowRank found = truncated_svd(matrix, 5);
  EXPECT_LT(distance(times(found.up, found.down), matrix), 1e-9);
  // Rows of V^T are orthonormal, columns of U S orthogonal.
  const Tensor unit = [&] {
    Tensor t(DType::kF32, {130, 5});
    for (size_t r = 0; r < 5; ++r)
      for (size_t c = 0; c < 130; ++c) t.as<float>()[c * 5 + r] = found.down.as<float>()[r * 130 + c];
    return times(found.down, t);
  }();
  for (size_t i = 0; i < 25; ++i) EXPECT_NEAR(unit.as<float>()[i], i % 6 == 0 ? 1 : 0, 1e-6) << i;
}

// Eckart and Young: nothing of that rank is nearer than the sum of the squared singular values left out.
TEST(TruncatedSvd, IsNearlyTheBestOfItsRank) {
  Tensor matrix = random_matrix(64, 200, 3);
  for (size_t i = 0; i < static_cast<size_t>(matrix.count()); ++i)  // a few channels stand out
    if (i % 200 < 6) matrix.as<float>()[i] *= 8;
  const std::vector<double> values = spectrum(matrix);
  for (const int64_t rank : {1, 4, 16, 64}) {
    const LowRank found = truncated_svd(matrix, rank);
    double best = 0;
    for (size_t i = static_cast<size_t>(rank); i < values.size(); ++i) best += values[i];
    const double got = distance(times(found.up, found.down), matrix);
    EXPECT_LE(got, best * 1.02 + 1e-6) << rank;
  }
}

TEST(TruncatedSvd, TakesZerosAndThinMatrices) {
  Tensor zeros(DType::kF32, {9, 17});
  std::memset(zeros.raw().data(), 0, zeros.bytes());
  const LowRank none = truncated_svd(zeros, 3);
  for (const float x : none.down.as<float>()) EXPECT_EQ(x, 0);
  for (const float x : none.up.as<float>()) EXPECT_EQ(x, 0);
  const Tensor column = random_matrix(33, 1), row = random_matrix(1, 33);
  EXPECT_LT(distance(times(truncated_svd(column, 1).up, truncated_svd(column, 1).down), column), 1e-12);
  EXPECT_LT(distance(times(truncated_svd(row, 1).up, truncated_svd(row, 1).down), row), 1e-12);
}

TEST(TruncatedSvd, TheBytesDoNotDependOnThreads) {
  const Tensor matrix = random_matrix(131, 77);
  std::vector<LowRank> results;
  for (const int count : {1, 6}) {
    set_threads(count);
    results.push_back(truncated_svd(matrix, 12));
  }
  set_threads(0);
  EXPECT_EQ(std::memcmp(results[0].up.raw().data(), results[1].up.raw().data(), results[0].up.bytes()), 0);
  EXPECT_EQ(std::memcmp(results[0].down.raw().data(), results[1].down.raw().data(), results[0].down.bytes()),
            0);
}

}  // namespace
}  // namespace wanslim
