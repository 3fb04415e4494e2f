// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/threads.h"
#include "kernels/each_target.h"
#include "kernels/reference_nn.h"
#include "kernels/testing.h"

namespace wanslim {
namespace {

struct Size {
  int64_t m, n, k;
};
constexpr Size kSizes[] = {{1, 1, 1},    {1, 33, 7},    {5, 31, 2},    {12, 32, 4},    {13, 64, 65},
                           {97, 40, 70}, {25, 96, 129}, {3, 65, 3001}, {100, 129, 515}};

std::vector<float> product(std::span<const float> a, const PackedWeight& w, int64_t m, Epilogue e = {}) {
  std::vector<float> y(static_cast<size_t>(m * w.n), NAN);
  e.f32 = y.data();
  gemm_f32(a.data(), m, w, e);
  return y;
}

TEST(Gemm, F32AgreesWithDouble) {
  each_target([] {
    TestNumbers numbers(1);
    for (const auto& [m, n, k] : kSizes) {
      const auto a = numbers.floats(m * k), w = numbers.floats(n * k);
      const auto y = product(a, pack_f32(w, n, k), m);
      EXPECT_LT(relative_l2(y, reference::matmul(a, w, m, n, k)), 3e-6) << m << " " << n << " " << k;
    }
  });
}

TEST(Gemm, Bf16WeightsUnderFloatInputs) {
  each_target([] {
    TestNumbers numbers(2);
    for (const auto& [m, n, k] : kSizes) {
      const auto a = numbers.floats(m * k);
      const auto w = to_bf16(numbers.floats(n * k));
      const auto y = product(a, pack_bf16(w, n, k), m);
      EXPECT_LT(relative_l2(y, reference::matmul(a, to_float(w), m, n, k)), 3e-6)
          << m << " " << n << " " << k;
    }
  });
}

TEST(Gemm, Bf16SumsInFloat) {
  each_target([] {
    TestNumbers numbers(3);
    for (const auto& [m, n, k] : kSizes) {
      const auto a = to_bf16(numbers.floats(m * k)), w = to_bf16(numbers.floats(n * k));
      std::vector<float> y(static_cast<size_t>(m * n));
      gemm_bf16(a.data(), m, pack_bf16(w, n, k), {.f32 = y.data()});
      EXPECT_LT(relative_l2(y, reference::matmul(to_float(a), to_float(w), m, n, k)), 3e-6)
          << m << " " << n << " " << k;
    }
  });
}

TEST(Gemm, S8IsExactAlsoAtTheExtremes) {
  each_target([] {
    TestNumbers numbers(4);
    for (const auto& [m, n, k] : kSizes) {
      auto a = numbers.codes(m * k), w = numbers.codes(n * k);
      for (int64_t i = 0; i < k; ++i) a[i] = w[i] = -128;  // the largest sum
      const std::vector<float> ones(static_cast<size_t>(std::max(m, n)), 1.0f);
      std::vector<int32_t> minus(static_cast<size_t>(n));  // brings one row within the exact range of float
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t p = 0; p < k; ++p) minus[j] -= a[(m - 1) * k + p] * w[j * k + p];
      }
      std::vector<float> y(static_cast<size_t>(m * n));
      gemm_s8(a.data(), m, pack_s8(w, n, k),
              {.row_scale = ones.data(),
               .column_scale = ones.data(),
               .column_offset = minus.data(),
               .f32 = y.data()});
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          int32_t sum = minus[j];
          for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * w[j * k + p];
          ASSERT_EQ(y[i * n + j], static_cast<float>(sum))
              << m << " " << n << " " << k << " at " << i << "," << j;
        }
      }
    }
  });
}

// Every step of the epilogue, one row of expectations computed by hand from the plain sums.
TEST(Gemm, EpilogueScalesAddsBiasRoundsActivatesAndGates) {
  constexpr int64_t kM = 14, kN = 45, kK = 20;
  TestNumbers numbers(5);
  const auto a = numbers.codes(kM * kK), w = numbers.codes(kN * kK);
  const auto rows = numbers.floats(kM, 0.01f), columns = numbers.floats(kN, 0.01f), bias = numbers.floats(kN);
  const auto gate = numbers.floats(kN), before = numbers.floats(kM * kN);
  each_target([&] {
    std::vector<float> added = before, plain(kM * kN);
    std::vector<uint16_t> short_form(kM * kN);
    Epilogue e{.bias = bias.data(), .row_scale = rows.data(), .column_scale = columns.data(), .round = true};
    e.activation = Activation::kGeluTanh;
    const PackedWeight packed = pack_s8(w, kN, kK);
    e.bf16 = short_form.data();
    gemm_s8(a.data(), kM, packed, e);
    e.bf16 = nullptr, e.f32 = plain.data();
    gemm_s8(a.data(), kM, packed, e);
    e.f32 = added.data(), e.add = true, e.gate = gate.data();
    gemm_s8(a.data(), kM, packed, e);
    for (int64_t i = 0; i < kM; ++i) {
      for (int64_t j = 0; j < kN; ++j) {
        int32_t sum = 0;
        for (int64_t p = 0; p < kK; ++p) sum += a[i * kK + p] * w[j * kK + p];
        const float y = round_bf16(static_cast<float>(sum) * (rows[i] * columns[j]) + bias[j]);
        const double gelu = reference::activate(Activation::kGeluTanh, y);
        const float got = plain[i * kN + j];
        ASSERT_NEAR(got, gelu, 0.004 * std::abs(gelu) + 1e-7);
        ASSERT_EQ(got, round_bf16(got));
        ASSERT_EQ(bf16_to_float(short_form[i * kN + j]), got);
        ASSERT_EQ(added[i * kN + j], before[i * kN + j] + got * gate[j]);
      }
    }
  });
}

// Many rows go another way through the panels than few.
TEST(Gemm, SameBitsForAnyThreadCountAndAnyCutOfTheRows) {
  constexpr int64_t kM = 211, kN = 300, kK = 3100;
  TestNumbers numbers(6);
  const auto a = numbers.floats(kM * kK), w = numbers.floats(kN * kK);
  const auto narrow_a = to_bf16(a), narrow_w = to_bf16(w);
  const auto check = [&](auto multiply) {
    std::vector<float> one(kM * kN), many(kM * kN), pieces(kM * kN);
    set_threads(1);
    multiply(0, kM, one.data());
    set_threads(5);
    multiply(0, kM, many.data());
    for (int64_t i = 0, rows = 1; i < kM; i += rows++)
      multiply(i, std::min(rows, kM - i), pieces.data() + i * kN);
    set_threads(0);
    EXPECT_EQ(one, many);
    EXPECT_EQ(one, pieces);
  };
  each_target([&] {
    const PackedWeight wide = pack_f32(w, kN, kK), narrow = pack_bf16(narrow_w, kN, kK);
    check([&](int64_t i, int64_t rows, float* to) { gemm_f32(a.data() + i * kK, rows, wide, {.f32 = to}); });
    check(
        [&](int64_t i, int64_t rows, float* to) { gemm_f32(a.data() + i * kK, rows, narrow, {.f32 = to}); });
    check([&](int64_t i, int64_t rows, float* to) {
      gemm_bf16(narrow_a.data() + i * kK, rows, narrow, {.f32 = to});
    });
  });
}

TEST(Gemm, WritesWithAStrideAndLeavesTheRestAlone) {
  TestNumbers numbers(7);
  const auto a = numbers.floats(3 * 8), w = numbers.floats(5 * 8);
  std::vector<float> y(3 * 7, 42.0f);
  gemm_f32(a.data(), 3, pack_f32(w, 5, 8), {.f32 = y.data(), .stride = 7});
  const auto expected = reference::matmul(a, w, 3, 5, 8);
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 5; ++j) EXPECT_NEAR(y[i * 7 + j], expected[i * 5 + j], 1e-5);
    for (int j = 5; j < 7; ++j) EXPECT_EQ(y[i * 7 + j], 42.0f);
  }
}

}  // namespace
}  // namespace wanslim
