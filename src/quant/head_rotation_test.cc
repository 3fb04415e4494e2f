// SPDX-License-Identifier: Apache-2.0
#include "quant/head_rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "base/error.h"
#include "base/threads.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

Tensor values(Shape shape, uint32_t seed) {
  Tensor t(DType::kF32, std::move(shape));
  std::mt19937 random(seed);
  for (float& x : t.as<float>()) x = static_cast<float>(random() / 2147483648.0 - 1);
  return t;
}

std::vector<double> times(const Tensor& weight, std::span<const double> x) {
  const size_t out = static_cast<size_t>(weight.dim(0)), in = static_cast<size_t>(weight.dim(1));
  std::vector<double> y(out);
  for (size_t r = 0; r < out; ++r) {
    for (size_t c = 0; c < in; ++c) y[r] += static_cast<double>(weight.as<float>()[r * in + c]) * x[c];
  }
  return y;
}

TEST(HeadRotation, IsTheMatrixAndKeepsLengths) {
  Tensor row = values({1, 64}, 1);
  const Tensor before = row.clone();
  rotate_heads(row.as<float>(), 32);
  const std::vector<float> r = reference_rotation(32, Working::kF32);
  for (size_t head = 0; head < 2; ++head) {
    for (size_t k = 0; k < 32; ++k) {
      double sum = 0;
      for (size_t i = 0; i < 32; ++i)
        sum += static_cast<double>(before.as<float>()[head * 32 + i]) * static_cast<double>(r[i * 32 + k]);
      EXPECT_NEAR(row.as<float>()[head * 32 + k], sum, 1e-6);
    }
  }
}

// o(mean of v(x)) is the same before and after: what attention computes, with its weights for a mean.
TEST(HeadRotation, TheOutputOfAnAttentionStays) {
  LinearWeight v{"b.v", values({64, 24}, 2), values({64}, 3)}, o{"b.o", values({40, 64}, 4), values({40}, 5)};
  const auto attend = [&] {
    std::vector<double> mixed(64);
    for (uint32_t token = 0; token < 3; ++token) {
      const Tensor x = values({24}, 10 + token);
      const std::vector<double> y =
          times(v.weight, std::vector<double>(x.as<float>().begin(), x.as<float>().end()));
      for (size_t i = 0; i < 64; ++i)
        mixed[i] += (0.2 + 0.1 * token) / 0.9 * (y[i] + static_cast<double>(v.bias.as<float>()[i]));
    }
    return times(o.weight, mixed);
  };
  const std::vector<double> before = attend();
  const Tensor old = v.weight.clone();
  rotate_linear(v, 16, 0, Numerics::kPrecise);
  rotate_linear(o, 0, 16, Numerics::kPrecise);
  EXPECT_FALSE(std::ranges::equal(old.raw(), v.weight.raw()));
  const std::vector<double> after = attend();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-5);
}

TEST(HeadRotation, TheBytesDoNotDependOnThreads) {
  std::vector<Tensor> results;
  for (const int count : {1, 5}) {
    set_threads(count);
    LinearWeight v{"b.v", values({96, 70}, 2), values({96}, 3)};
    rotate_linear(v, 32, 0, Numerics::kPrecise);
    results.push_back(std::move(v.weight));
  }
  set_threads(0);
  EXPECT_TRUE(std::ranges::equal(results[0].raw(), results[1].raw()));
}

class Model : public WeightSource {
 public:
  std::map<std::string, Tensor, std::less<>> tensors;
  bool has(std::string_view tensor) const override { return tensors.contains(tensor); }
  Shape shape(std::string_view tensor) const override { return tensors.find(tensor)->second.shape(); }
  DType dtype(std::string_view tensor) const override { return tensors.find(tensor)->second.dtype(); }
  Tensor load(std::string_view tensor) const override { return tensors.find(tensor)->second.clone(); }
};

TEST(HeadRotation, AModelIsSeenRotated) {
  Model model;
  model.tensors["b.v.weight"] = values({32, 8}, 1);
  model.tensors["b.v.bias"] = values({32}, 2);
  model.tensors["b.q.weight"] = values({32, 8}, 3);
  const RotatedSource rotated(model, {{"b.v", 16}}, {});
  LinearWeight v{"b.v", model.load("b.v.weight"), model.load("b.v.bias")};
  rotate_linear(v, 16, 0, Numerics::kPrecise);
  EXPECT_TRUE(std::ranges::equal(rotated.load("b.v.weight").raw(), v.weight.raw()));
  EXPECT_TRUE(std::ranges::equal(rotated.load("b.v.bias").raw(), v.bias.raw()));
  EXPECT_TRUE(std::ranges::equal(rotated.load("b.q.weight").raw(), model.load("b.q.weight").raw()));
  for (const int64_t head : {0, -1, 3, 64, 1 << 20}) {  // a manifest can say anything
    try {
      RotatedSource(model, {{"b.v", head}}, {}).load("b.v.weight");
      ADD_FAILURE() << head;
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr("cannot be rotated in heads of"));
    }
  }
}

}  // namespace
}  // namespace wanslim
