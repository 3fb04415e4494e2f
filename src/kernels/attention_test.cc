// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/threads.h"
#include "kernels/each_target.h"
#include "kernels/reference_nn.h"
#include "kernels/testing.h"

namespace wanslim {
namespace {

struct Case {
  int64_t queries, keys, heads, head_dim;
};
constexpr Case kCases[] = {{1, 1, 1, 1},    {3, 5, 2, 7},      {13, 33, 1, 128},  {100, 70, 2, 64},
                           {5, 513, 1, 80}, {30, 1100, 2, 48}, {97, 512, 1, 384}, {250, 300, 1, 40}};

std::vector<float> run_f32(std::span<const float> q, std::span<const float> k, std::span<const float> v,
                           const Case& c, float scale, int64_t last_count = 1) {
  PackedKeys kv =
      pack_keys_f32(k, v, static_cast<int64_t>(k.size()) / (c.heads * c.head_dim), c.heads, c.head_dim);
  kv.last_count = last_count;
  std::vector<float> out(q.size(), NAN);
  attention_f32(q.data(), c.queries, kv, scale, out.data());
  return out;
}

TEST(Attention, F32AgreesWithTheFullMatrix) {
  each_target([] {
    TestNumbers numbers(1);
    for (const Case& c : kCases) {
      const int64_t width = c.heads * c.head_dim;
      const float scale = 3.0f / std::sqrt(static_cast<float>(c.head_dim));
      const auto q = numbers.floats(c.queries * width), k = numbers.floats(c.keys * width);
      const auto v = numbers.floats(c.keys * width);
      const auto expected = reference::attention(q, k, v, c.heads, c.head_dim, scale);
      EXPECT_LT(relative_l2(run_f32(q, k, v, c, scale), expected), 2e-6)
          << c.keys << " keys of " << c.head_dim;
    }
  });
}

TEST(Attention, Bf16StaysWithinItsRounding) {
  each_target([] {
    TestNumbers numbers(2);
    for (const Case& c : kCases) {
      const int64_t width = c.heads * c.head_dim;
      const float scale = 3.0f / std::sqrt(static_cast<float>(c.head_dim));
      const auto q = to_bf16(numbers.floats(c.queries * width)), k = to_bf16(numbers.floats(c.keys * width));
      const auto v = to_bf16(numbers.floats(c.keys * width));
      const auto expected =
          reference::attention(to_float(q), to_float(k), to_float(v), c.heads, c.head_dim, scale);
      std::vector<uint16_t> out(q.size());
      attention_bf16(q.data(), c.queries, pack_keys_bf16(k, v, c.keys, c.heads, c.head_dim), scale,
                     out.data());
      EXPECT_LT(relative_l2(to_float(out), expected), 4e-3) << c.keys << " keys of " << c.head_dim;
    }
  });
}

// Scores that grow from block to block make every earlier sum shrink; huge ones must not overflow.
TEST(Attention, FollowsAMaximumThatMoves) {
  each_target([] {
    constexpr Case kCase = {7, 1537, 1, 4};
    TestNumbers numbers(3);
    const auto q = std::vector<float>(7 * 4, 1.0f), v = numbers.floats(1537 * 4);
    std::vector<float> k(1537 * 4);
    for (int64_t j = 0; j < 1537; ++j) std::fill_n(k.begin() + j * 4, 4, 0.0625f * static_cast<float>(j));
    EXPECT_LT(relative_l2(run_f32(q, k, v, kCase, 1.0f), reference::attention(q, k, v, 1, 4, 1.0)), 2e-6);
  });
}

TEST(Attention, OneKeyCountedOftenIsThatKeyRepeated) {
  constexpr Case kCase = {9, 0, 2, 16};
  constexpr int64_t kWidth = 32, kText = 21, kPads = 491;
  TestNumbers numbers(4);
  auto k = numbers.floats((kText + 1) * kWidth), v = numbers.floats((kText + 1) * kWidth);
  const auto q = numbers.floats(9 * kWidth);
  const auto merged = run_f32(q, k, v, kCase, 0.25f, kPads);
  const std::vector<float> pad_k(k.end() - kWidth, k.end()), pad_v(v.end() - kWidth, v.end());
  for (int64_t i = 1; i < kPads; ++i) {
    k.insert(k.end(), pad_k.begin(), pad_k.end());
    v.insert(v.end(), pad_v.begin(), pad_v.end());
  }
  EXPECT_LT(relative_l2(merged, run_f32(q, k, v, kCase, 0.25f)), 1e-5);
}

TEST(Attention, SameBitsForAnyThreadCountAndAnyCutOfTheQueries) {
  // 300 queries are enough to expand the keys for, 7 are not.
  constexpr Case kCase = {300, 700, 3, 40};
  TestNumbers numbers(5);
  const auto q = to_bf16(numbers.floats(300 * 120)), k = to_bf16(numbers.floats(700 * 120));
  const auto v = to_bf16(numbers.floats(700 * 120));
  each_target([&] {
    const PackedKeys kv = pack_keys_bf16(k, v, kCase.keys, kCase.heads, kCase.head_dim);
    std::vector<uint16_t> one(q.size()), many(q.size()), pieces(q.size());
    set_threads(1);
    attention_bf16(q.data(), 300, kv, 0.2f, one.data());
    set_threads(4);
    attention_bf16(q.data(), 300, kv, 0.2f, many.data());
    attention_bf16(q.data(), 7, kv, 0.2f, pieces.data());
    attention_bf16(q.data() + 7 * 120, 293, kv, 0.2f, pieces.data() + 7 * 120);
    set_threads(0);
    EXPECT_EQ(one, many);
    EXPECT_EQ(one, pieces);
  });
}

TEST(Attention, NanInAKeyShows) {
  each_target([] {
    constexpr Case kCase = {2, 40, 1, 8};
    TestNumbers numbers(6);
    auto k = numbers.floats(40 * 8);
    k[37 * 8] = std::numeric_limits<float>::quiet_NaN();
    const auto out = run_f32(numbers.floats(2 * 8), k, numbers.floats(40 * 8), kCase, 1.0f);
    for (float y : out) EXPECT_TRUE(std::isnan(y));
  });
}

}  // namespace
}  // namespace wanslim
