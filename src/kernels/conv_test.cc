// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "kernels/channel_norm.h"
#include "kernels/each_target.h"
#include "kernels/reference_conv.h"
#include "kernels/testing.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using Values = std::vector<float>;

Values random_values(size_t count, uint64_t seed) {
  return TestNumbers(seed).floats(static_cast<int64_t>(count));
}

struct Problem {
  ConvSpec spec;
  int64_t height = 0, width = 0;
  size_t outputs = 1, missing = 0;  // missing: leading frames of zeros

  Values weight() const {
    return random_values(static_cast<size_t>(spec.out * spec.in * spec.frames * spec.height * spec.width), 1);
  }
  Values bias() const { return random_values(static_cast<size_t>(spec.out), 2); }
  std::vector<Values> inputs() const {
    std::vector<Values> out(outputs + static_cast<size_t>(spec.frames) - 1);
    for (size_t i = missing; i < out.size(); ++i)
      out[i] = random_values(static_cast<size_t>(height * width * spec.in), 10 + i);
    return out;
  }
};

const Problem kProblems[] = {
    // Winograd: odd sizes, one pixel, several frames with and without frames before the start.
    {.spec = {.in = 16, .out = 48, .frames = 3, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 5,
     .width = 7,
     .outputs = 4},
    {.spec = {.in = 32, .out = 16, .frames = 3, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 1,
     .width = 1,
     .outputs = 2,
     .missing = 2},
    {.spec = {.in = 16, .out = 64, .frames = 3, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 21,
     .width = 30,
     .outputs = 1,
     .missing = 1},
    {.spec = {.in = 96, .out = 96, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 8,
     .width = 6},
    // Plain.
    {.spec = {.in = 3, .out = 8, .frames = 3, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 9,
     .width = 11,
     .outputs = 2,
     .missing = 2},
    {.spec = {.in = 24, .out = 3, .frames = 3, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1},
     .height = 4,
     .width = 17},
    {.spec = {.in = 10, .out = 50, .height = 3, .width = 3, .stride = 2, .pad_after = 1},
     .height = 8,
     .width = 14},
    {.spec = {.in = 10, .out = 6, .height = 3, .width = 3, .stride = 2, .pad_after = 1},
     .height = 7,
     .width = 5},
    {.spec = {.in = 16, .out = 100, .frames = 3}, .height = 3, .width = 5, .outputs = 2, .missing = 1},
    {.spec = {.in = 34, .out = 17}, .height = 13, .width = 11},
    {.spec = {.in = 6, .out = 20, .height = 3, .width = 3, .pad_before = 1, .pad_after = 1, .upsample = true},
     .height = 5,
     .width = 3},
};

std::vector<Values> run(const Conv& conv, const Problem& p, const std::vector<Values>& inputs,
                        float add = 0) {
  std::vector<std::vector<uint16_t>> rounded(inputs.size());
  std::vector<const void*> in;
  for (size_t i = 0; i < inputs.size(); ++i) {
    rounded[i] = to_bf16(inputs[i]);
    const void* const data = conv.input_dtype() == DType::kBF16 ? static_cast<const void*>(rounded[i].data())
                                                                : static_cast<const void*>(inputs[i].data());
    in.push_back(inputs[i].empty() ? nullptr : data);
  }
  const size_t count = static_cast<size_t>(conv.out_height(p.height) * conv.out_width(p.width) * p.spec.out);
  std::vector<Values> out(p.outputs, Values(count, add));
  std::vector<float*> to;
  for (Values& o : out) to.push_back(o.data());
  const std::vector<const float*> adds(to.begin(), to.end());
  conv.run(in, p.height, p.width, to, add != 0 ? std::span(adds) : std::span<const float* const>());
  return out;
}

std::vector<Values> expected(const Problem& p, const std::vector<Values>& inputs) {
  std::vector<Values> out;
  for (size_t i = 0; i < p.outputs; ++i) {
    out.push_back(reference::conv(p.spec, p.weight(), p.bias(),
                                  std::span(inputs).subspan(i, static_cast<size_t>(p.spec.frames)), p.height,
                                  p.width));
  }
  return out;
}

TEST(Conv, MatchesTheReferenceOnEveryTarget) {
  for (const Problem& p : kProblems) {
    SCOPED_TRACE(testing::Message() << p.spec.in << " -> " << p.spec.out << ", " << p.height << " x "
                                    << p.width);
    const std::vector<Values> inputs = p.inputs(), want = expected(p, inputs);
    each_target([&] {
      const std::vector<Values> got = run(Conv(p.spec, p.weight(), p.bias()), p, inputs);
      for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(relative_l2(got[i], want[i]), 6e-7);
    });
  }
}

TEST(Conv, AddsToItsOutput) {
  for (const Problem& p : kProblems) {
    const std::vector<Values> inputs = p.inputs();
    std::vector<Values> want = expected(p, inputs);
    const std::vector<Values> got = run(Conv(p.spec, p.weight(), p.bias()), p, inputs, 5.0f);
    for (size_t i = 0; i < got.size(); ++i) {
      for (float& x : want[i]) x += 5.0f;
      EXPECT_LT(relative_l2(got[i], want[i]), 6e-7);
    }
  }
}

// Rounded operands, sums in float; Winograd rounds the transformed ones.
TEST(Conv, RoundsOperandsToBf16) {
  for (Problem p : kProblems) {
    p.spec.bf16 = true;
    std::vector<Values> inputs = p.inputs();
    const std::vector<Values> exact = expected(p, inputs);
    const Conv conv(p.spec, p.weight(), p.bias());
    const std::vector<Values> got = run(conv, p, inputs);
    const bool bf16 = conv.input_dtype() == DType::kBF16;
    EXPECT_EQ(bf16, conv_micro_bf16() != nullptr && p.spec.in % 2 == 0);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_LT(relative_l2(got[i], exact[i]), bf16 ? 8e-3 : 6e-7);
      if (bf16) {
        EXPECT_GT(relative_l2(got[i], exact[i]), 1e-4);
      }
    }
  }
}

TEST(Conv, HasTheSameBitsForAnyNumberOfThreads) {
  for (Problem p : kProblems) {
    for (const bool bf16 : {false, true}) {
      p.spec.bf16 = bf16;
      const Conv conv(p.spec, p.weight(), p.bias());
      set_threads(1);
      const std::vector<Values> one = run(conv, p, p.inputs());
      set_threads(5);
      EXPECT_EQ(run(conv, p, p.inputs()), one);
      set_threads(0);
    }
  }
}

TEST(ChannelNorm, MatchesTheReferenceOnEveryTarget) {
  for (const size_t channels : {1u, 5u, 16u, 33u, 96u, 384u}) {
    for (const bool silu : {false, true}) {
      Values values = random_values(channels * 7, 3);
      for (size_t i = 0; i < channels; ++i) values[i] = 0;  // a pixel of length 0
      const Values gamma = random_values(channels, 4);
      const Values want = reference::channel_norm_silu(values, gamma, silu);
      each_target([&] {
        Values got(values.size());
        EXPECT_TRUE(channel_norm(values, gamma, silu, DType::kF32, got.data()));
        EXPECT_LT(relative_l2(got, want), 3e-7);
        std::vector<uint16_t> rounded(values.size());
        channel_norm(values, gamma, silu, DType::kBF16, rounded.data());
        for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(rounded[i], float_to_bf16(got[i]));
      });
    }
  }
}

TEST(ChannelNorm, TellsOfValuesThatAreNotFinite) {
  const Values gamma(20, 1.0f);
  for (const float bad : {INFINITY, NAN, -INFINITY}) {
    Values values = random_values(200, 5);
    values[177] = bad;
    EXPECT_FALSE(channel_norm(values, gamma, true, DType::kF32, values.data()));
  }
}

}  // namespace
}  // namespace wanslim
