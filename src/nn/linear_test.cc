// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "kernels/reference_nn.h"
#include "kernels/testing.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

constexpr int64_t kRows = 7, kIn = 128, kOut = 37;

Tensor tensor_of(std::span<const float> values, Shape shape) {
  Tensor t(DType::kF32, std::move(shape));
  std::copy(values.begin(), values.end(), t.as<float>().begin());
  return t;
}

std::vector<float> floats(const Tensor& t) {
  return {t.as<float>().begin(), t.as<float>().end()};
}

class MapSource : public WeightSource {
 public:
  std::map<std::string, Tensor, std::less<>> tensors;
  std::function<QuantizedLinear()> quantized;
  bool rows = false;  // parts of a tensor can be read
  bool has(std::string_view name) const override { return tensors.find(name) != tensors.end(); }
  Shape shape(std::string_view name) const override { return tensors.find(name)->second.shape(); }
  DType dtype(std::string_view name) const override { return tensors.find(name)->second.dtype(); }
  Tensor load(std::string_view name) const override { return tensors.find(name)->second.clone(); }
  bool reads_rows(std::string_view) const override { return rows; }
  Tensor load_rows(std::string_view name, int64_t first, int64_t count) const override {
    EXPECT_TRUE(rows);
    return WeightSource::load_rows(name, first, count);
  }
  std::optional<QuantizedLinear> load_quantized(std::string_view) const override {
    return quantized ? std::optional(quantized()) : std::nullopt;
  }
};

struct Problem {
  std::vector<float> x, weight, bias;
  explicit Problem(uint64_t seed) {
    TestNumbers numbers(seed);
    x = numbers.floats(kRows * kIn), weight = numbers.floats(kOut * kIn), bias = numbers.floats(kOut);
  }
  std::vector<double> exact(std::span<const float> w) const {
    auto y = reference::matmul(x, w, kRows, kOut, kIn);
    for (size_t i = 0; i < y.size(); ++i) y[i] += double{bias[i % kOut]};
    return y;
  }
};

std::vector<float> run(const Linear& linear, std::span<const float> x, Compute compute, int64_t step = -1) {
  std::vector<float> y(static_cast<size_t>(kRows * kOut), NAN);
  const auto bits = to_bf16(x);
  const void* data = compute == Compute::kF32 ? static_cast<const void*>(x.data()) : bits.data();
  linear.forward({dtype_of(compute), data, kRows, kIn}, {.f32 = y.data()}, {.step = step});
  return y;
}

Linear load(const QuantizedLinear& q, Compute compute) {
  MapSource source;
  source.quantized = [&] {
    QuantizedLinear copy{.name = q.name, .scheme = q.scheme};
    copy.weight = q.weight.clone(), copy.scale = q.scale.clone(), copy.bias = q.bias.clone();
    if (!q.act_scale.empty()) copy.act_scale = q.act_scale.clone(), copy.act_offset = q.act_offset.clone();
    if (!q.smooth.empty()) copy.smooth = q.smooth.clone();
    if (!q.lora_up.empty()) copy.lora_up = q.lora_up.clone(), copy.lora_down = q.lora_down.clone();
    if (!q.dual_scale.empty()) copy.dual_scale = q.dual_scale.clone();
    copy.hadamard_group = q.hadamard_group;
    return copy;
  };
  return Linear::load(source, q.name, compute);
}

// int8 codes per channel with bf16 scales.
QuantizedLinear int8_linear(const Problem& p, Encoding activation, Granularity granularity) {
  QuantizedLinear q{.name = "layer",
                    .scheme = {.weight = Encoding::kInt8,
                               .weight_granularity = Granularity::kChannel,
                               .activation = activation,
                               .activation_granularity = granularity}};
  q.weight = Tensor(DType::kI8, {kOut, kIn});
  q.scale = Tensor(DType::kF32, {kOut, 1});
  q.bias = tensor_of(p.bias, {kOut});
  for (int64_t j = 0; j < kOut; ++j) {
    const float scale = round_bf16(1.0f / 127);
    q.scale.as<float>()[j] = scale;
    for (int64_t i = 0; i < kIn; ++i) {
      q.weight.as<int8_t>()[j * kIn + i] = static_cast<int8_t>(std::nearbyint(p.weight[j * kIn + i] / scale));
    }
  }
  return q;
}

TEST(Linear, FloatWeightsInBothModes) {
  const Problem p(1);
  const Tensor weight = tensor_of(p.weight, {kOut, kIn}), bias = tensor_of(p.bias, {kOut});
  EXPECT_LT(relative_l2(run(Linear::from_float("l", weight, bias, Compute::kF32), p.x, Compute::kF32),
                        p.exact(p.weight)),
            1e-6);
  const auto y = run(Linear::from_float("l", weight, bias, Compute::kBF16), p.x, Compute::kBF16);
  EXPECT_LT(relative_l2(y, p.exact(p.weight)), 5e-3);
  for (float v : y) EXPECT_EQ(v, round_bf16(v));
}

TEST(Linear, StoredPrecisionsAreWidenedOrRounded) {
  const Problem p(2);
  Tensor half(DType::kF16, {kOut, kIn}), brain(DType::kBF16, {kOut, kIn});
  for (size_t i = 0; i < p.weight.size(); ++i) {
    half.as<uint16_t>()[i] = float_to_f16(p.weight[i]);
    brain.as<uint16_t>()[i] = float_to_bf16(p.weight[i]);
  }
  const Tensor bias = tensor_of(p.bias, {kOut});
  for (const Tensor* weight : {&half, &brain}) {
    const auto y = run(Linear::from_float("l", *weight, bias, Compute::kF32), p.x, Compute::kF32);
    EXPECT_LT(relative_l2(y, p.exact(floats(to_f32(*weight)))), 1e-6);
  }
}

TEST(Linear, AWeightThatIsReadInPartsIsTheSame) {
  constexpr int64_t kWide = 1030, kTall = 777;  // several slices, the last with part of a panel
  TestNumbers numbers(9);
  const auto weight = numbers.floats(kTall * kWide), bias = numbers.floats(kTall),
             x = numbers.floats(3 * kWide);
  const auto x_bits = to_bf16(x);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    MapSource source;
    source.tensors["l.bias"] = tensor_of(bias, {kTall});
    Tensor& stored = source.tensors["l.weight"] = Tensor(dtype, {kTall, kWide});
    for (size_t i = 0; i < weight.size(); ++i) {
      if (dtype == DType::kF32) {
        stored.as<float>()[i] = weight[i];
      } else {
        stored.as<uint16_t>()[i] = dtype == DType::kF16 ? float_to_f16(weight[i]) : float_to_bf16(weight[i]);
      }
    }
    for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
      std::vector<float> y[2];
      for (const bool rows : {false, true}) {
        source.rows = rows;
        y[rows].assign(3 * kTall, NAN);
        const void* data = compute == Compute::kF32 ? static_cast<const void*>(x.data()) : x_bits.data();
        Linear::load(source, "l", compute)
            .forward({dtype_of(compute), data, 3, kWide}, {.f32 = y[rows].data()});
      }
      EXPECT_EQ(y[0], y[1]) << name_of(dtype);
    }
  }
}

TEST(Linear, TheTapSeesInputAndOutputAndChangesNothing) {
  struct Watch : Tap {
    std::vector<std::string> seen;
    void input(std::string_view layer, const Rows& rows) override {
      EXPECT_EQ(rows.width, kIn);
      seen.push_back("in " + std::string(layer));
    }
    bool wants_values() const override { return true; }
    void value(std::string_view name, const Rows& rows) override {
      EXPECT_EQ(rows.width, kOut);
      seen.push_back("out " + std::string(name));
    }
  } watch;
  const Problem p(3);
  const Linear linear = Linear::from_float("blocks.0.ffn.0", tensor_of(p.weight, {kOut, kIn}),
                                           tensor_of(p.bias, {kOut}), Compute::kBF16);
  const auto x = to_bf16(p.x);
  const Rows rows{DType::kBF16, x.data(), kRows, kIn};
  std::vector<float> fused(kRows * kOut, 1.0f), watched = fused;
  linear.forward(rows, {.f32 = fused.data(), .add = true, .gate = p.bias.data()});
  linear.forward(rows, {.f32 = watched.data(), .add = true, .gate = p.bias.data()}, {.tap = &watch});
  EXPECT_EQ(fused, watched);
  EXPECT_EQ(watch.seen, (std::vector<std::string>{"in blocks.0.ffn.0", "out blocks.0.ffn.0"}));
}

// spec formats B4: bf16( (sum xq wq) * s_tok * s_w + bias ), token scale from the bf16 input.
TEST(QuantLinear, W8A8DynamicIsTheFormulaOfTheNpu) {
  const Problem p(4);
  const QuantizedLinear q = int8_linear(p, Encoding::kInt8, Granularity::kToken);
  const auto y = run(load(q, Compute::kBF16), p.x, Compute::kBF16);
  for (int64_t r = 0; r < kRows; ++r) {
    float most = 0;
    for (int64_t i = 0; i < kIn; ++i) most = std::max(most, std::abs(round_bf16(p.x[r * kIn + i])));
    const float scale = most / 127;
    for (int64_t j = 0; j < kOut; ++j) {
      int32_t sum = 0;
      for (int64_t i = 0; i < kIn; ++i) {
        const int32_t code = static_cast<int32_t>(std::nearbyint(round_bf16(p.x[r * kIn + i]) / scale));
        sum += code * q.weight.as<int8_t>()[j * kIn + i];
      }
      const float expected =
          round_bf16(static_cast<float>(sum) * (scale * q.scale.as<float>()[j]) + round_bf16(p.bias[j]));
      ASSERT_EQ(y[r * kOut + j], expected);
    }
  }
}

TEST(QuantLinear, W8A8StaticUsesTheScaleOfTheStep) {
  const Problem p(5);
  QuantizedLinear q = int8_linear(p, Encoding::kInt8, Granularity::kTensor);
  q.act_scale = tensor_of(std::vector<float>{1.0f, 0.0078125f}, {2, 1});
  q.act_offset = tensor_of(std::vector<float>{0, -5}, {2, 1});
  const Linear linear = load(q, Compute::kF32);
  // With offset -5 and scale 1/128 the inputs of [-1, 1) are hardly clamped: close to the float result.
  EXPECT_LT(relative_l2(run(linear, p.x, Compute::kF32, 1), p.exact(p.weight)), 0.02);
  EXPECT_GT(relative_l2(run(linear, p.x, Compute::kF32, 0), p.exact(p.weight)), 0.2);
  EXPECT_THROW(run(linear, p.x, Compute::kF32, 2), Error);
}

TEST(QuantLinear, FloatActivationsSeeTheDequantizedWeight) {
  const Problem p(6);
  const QuantizedLinear q = int8_linear(p, Encoding::kFloat, Granularity::kTensor);
  const auto expected = p.exact(floats(dequantize(q)));
  EXPECT_LT(relative_l2(run(load(q, Compute::kF32), p.x, Compute::kF32), expected), 1e-6);
  EXPECT_LT(relative_l2(run(load(q, Compute::kBF16), p.x, Compute::kBF16), expected), 6e-3);
}

TEST(QuantLinear, SmoothingRotationAndLowRankUndoWhatTheWeightHas) {
  const Problem p(7);
  TestNumbers numbers(8);
  QuantizedLinear q = int8_linear(p, Encoding::kFloat, Granularity::kTensor);
  q.smooth = tensor_of(numbers.floats(kIn), {kIn});
  q.hadamard_group = 64;
  q.lora_down = tensor_of(numbers.floats(3 * kIn), {3, kIn});
  q.lora_up = tensor_of(numbers.floats(kOut * 3), {kOut, 3});
  const auto expected = p.exact(floats(dequantize(q)));
  EXPECT_LT(relative_l2(run(load(q, Compute::kF32), p.x, Compute::kF32), expected), 1e-5);
  EXPECT_LT(relative_l2(run(load(q, Compute::kBF16), p.x, Compute::kBF16), expected), 2e-2);
}

// Every other scheme: near the product with the dequantized weight, as far off as its activation rounding
// goes.
TEST(QuantLinear, OtherSchemesStayNearTheDequantizedWeight) {
  const Problem p(9);
  TestNumbers numbers(10);
  const auto expect_near = [&](QuantizedLinear q, double bound) {
    q.name = "layer";
    q.bias = tensor_of(p.bias, {kOut});
    const auto expected = p.exact(floats(dequantize(q)));
    for (Compute compute : {Compute::kF32, Compute::kBF16}) {
      const double error = relative_l2(run(load(q, compute), p.x, compute), expected);
      EXPECT_LT(error, bound);
      EXPECT_GT(error, bound / 20) << "is the activation rounded at all?";
    }
  };
  const auto bytes = [&](DType dtype, Shape shape, auto make) {
    Tensor t(dtype, std::move(shape));
    for (std::byte& b : t.raw()) b = static_cast<std::byte>(make());
    return t;
  };
  const auto fp8 = [&] { return float_to_e4m3(numbers.uniform() * 400); };
  const auto exponent = [&] { return 120 + static_cast<int>(numbers.bits() >> 30); };
  const auto any = [&] { return static_cast<int>(numbers.bits() >> 24); };

  QuantizedLinear q{
      .scheme = {Encoding::kInt4, Granularity::kGroup, Encoding::kInt8, Granularity::kToken, 32}};
  q.weight = bytes(DType::kI8, {kOut, kIn}, [&] { return static_cast<int>(numbers.bits() >> 28) - 8; });
  q.scale = tensor_of(numbers.floats(kOut * 4), {kOut, 4});
  expect_near(std::move(q), 0.02);

  q = {.scheme = {Encoding::kFp8E4M3, Granularity::kChannel, Encoding::kFp8E4M3, Granularity::kToken}};
  q.weight = bytes(DType::kF8E4M3, {kOut, kIn}, fp8);
  q.scale = tensor_of(numbers.floats(kOut), {kOut, 1});
  expect_near(std::move(q), 0.05);

  q = {.scheme = {Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, Granularity::kBlock, 32}};
  q.weight = bytes(DType::kF8E4M3, {kOut, kIn}, fp8);
  q.scale = bytes(DType::kU8, {kOut, kIn / 32}, exponent);
  expect_near(std::move(q), 0.05);

  q = {.scheme = {Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, Granularity::kBlock, 32}};
  q.weight = bytes(DType::kU8, {kOut, kIn / 2}, any);
  q.scale = bytes(DType::kU8, {kOut, kIn / 32}, exponent);
  expect_near(std::move(q), 0.25);

  q = {.scheme = {Encoding::kMxFp4, Granularity::kDual, Encoding::kMxFp4, Granularity::kDual, 32}};
  q.weight = bytes(DType::kU8, {kOut, kIn / 2}, any);
  q.scale = bytes(DType::kU8, {kOut, kIn / 32}, exponent);
  q.dual_scale = tensor_of(numbers.floats(kOut), {kOut, 1});
  expect_near(std::move(q), 0.25);

  q = {.scheme = {Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, Granularity::kBlock, 16}};
  q.weight = bytes(DType::kU8, {kOut, kIn / 2}, any);
  q.scale = bytes(DType::kF8E4M3, {kOut, kIn / 16}, fp8);
  q.dual_scale = tensor_of(std::vector<float>{0.01f}, {1});
  expect_near(std::move(q), 0.25);
}

// The largest of all rows decides, also of rows that are far away.
TEST(QuantLinear, Nvfp4ScaleIsThatOfAllRows) {
  constexpr int64_t kMany = 1500;
  TestNumbers numbers(12);
  QuantizedLinear q{
      .name = "layer",
      .scheme = {Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, Granularity::kBlock, 16}};
  q.weight = Tensor(DType::kU8, {kOut, kIn / 2});
  for (std::byte& b : q.weight.raw()) b = static_cast<std::byte>(numbers.bits() >> 24);
  q.scale = Tensor(DType::kF8E4M3, {kOut, kIn / 16});
  for (std::byte& b : q.scale.raw()) b = static_cast<std::byte>(float_to_e4m3(numbers.uniform() * 400));
  q.dual_scale = tensor_of(std::vector<float>{0.01f}, {1});
  q.bias = tensor_of(numbers.floats(kOut), {kOut});
  const Linear linear = load(q, Compute::kF32);
  EXPECT_TRUE(linear.needs_all_rows());

  std::vector<float> x = numbers.floats(kMany * kIn);
  for (int64_t i = 0; i < (kMany - 1) * kIn; ++i) x[static_cast<size_t>(i)] *= 0.01f;
  std::vector<float> turned(x.end() - kIn, x.end());  // the large row first
  turned.insert(turned.end(), x.begin(), x.end() - kIn);
  std::vector<float> y(static_cast<size_t>(kMany * kOut)), z = y;
  linear.forward({DType::kF32, x.data(), kMany, kIn}, {.f32 = y.data()});
  linear.forward({DType::kF32, turned.data(), kMany, kIn}, {.f32 = z.data()});
  EXPECT_TRUE(std::equal(y.begin(), y.end() - kOut, z.begin() + kOut));
}

TEST(QuantLinear, RefusesWhatNothingExecutes) {
  const Problem p(11);
  QuantizedLinear q = int8_linear(p, Encoding::kQ4_K, Granularity::kToken);
  EXPECT_THROW(load(q, Compute::kBF16), Error);
}

}  // namespace
}  // namespace wanslim
