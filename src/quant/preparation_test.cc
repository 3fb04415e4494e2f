// SPDX-License-Identifier: Apache-2.0
#include "quant/preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "base/threads.h"
#include "quant/methods.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

ProcessStep int8_step() {
  ProcessStep step{.type = "linear_quant"};
  step.activation = {.encoding = Encoding::kInt8, .granularity = Granularity::kToken, .method = "minmax"};
  step.weight = {.encoding = Encoding::kInt8, .granularity = Granularity::kChannel, .method = "minmax"};
  return step;
}

LayerPlan taken(Shape shape) {
  LayerPlan layer;
  layer.name = "blocks.0.ffn.0";
  layer.linear = true;
  layer.block = 0;
  layer.shape = std::move(shape);
  layer.scheme = scheme_of(int8_step().activation, int8_step().weight);
  layer.step = 1;
  return layer;
}

// Values of a trained layer: some input columns are far larger than the others.
LinearWeight with_outlier_columns(int64_t out, int64_t in) {
  LinearWeight linear{"blocks.0.ffn.0", Tensor(DType::kF32, {out, in}), {}};
  std::mt19937 random(5);
  const std::span<float> values = linear.weight.as<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(random() / 2147483648.0 - 1) * 0.02f;
    if (i % static_cast<size_t>(in) % 100 == 3) values[i] *= 30;
  }
  return linear;
}

LinearWeight copy_of(const LinearWeight& linear) {
  return {linear.name, linear.weight.clone(), linear.bias.clone()};
}

double sqnr(const LinearWeight& linear, const QuantizedLinear& q) {
  const Tensor back = dequantize(q);
  double signal = 0, noise = 0;
  for (size_t i = 0; i < static_cast<size_t>(back.count()); ++i) {
    const double w = linear.weight.as<float>()[i], e = w - static_cast<double>(back.as<float>()[i]);
    signal += w * w;
    noise += e * e;
  }
  return 10 * std::log10(signal / noise);
}

std::string prepare_error(const ProcessStep& step, size_t index, LayerPlan layer) {
  try {
    prepare_layer(step, index, layer);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Preparation, ConvrotSpreadsOutlierColumns) {
  const LinearWeight linear = with_outlier_columns(64, 512);
  LayerPlan layer = taken(linear.weight.shape());
  const QuantizedLinear plain = quantize_layer(layer, copy_of(linear), int8_step(), Numerics::kPrecise);
  EXPECT_EQ(plain.hadamard_group, 0);
  prepare_layer({.type = "convrot", .group_size = 256}, 0, layer);
  EXPECT_EQ(layer.hadamard_group, 256);
  EXPECT_THAT(layer.reason, HasSubstr("rotated in groups of 256"));
  const QuantizedLinear rotated = quantize_layer(layer, copy_of(linear), int8_step(), Numerics::kPrecise);
  EXPECT_EQ(rotated.hadamard_group, 256);
  // Columns 30 times as wide cost int8 most of its range; the rotation gives it back.
  EXPECT_GT(sqnr(linear, rotated), sqnr(linear, plain) + 4);
  EXPECT_GT(sqnr(linear, rotated), 38);
}

TEST(Preparation, TheLowRankBranchTakesWhatIsWide) {
  const LinearWeight linear = with_outlier_columns(64, 256);
  LayerPlan layer = taken(linear.weight.shape());
  const QuantizedLinear plain = quantize_layer(layer, copy_of(linear), int8_step(), Numerics::kPrecise);
  EXPECT_TRUE(plain.lora_up.empty());
  prepare_layer({.type = "svd_res", .rank = 3}, 0, layer);  // as many as there are wide columns
  EXPECT_EQ(layer.low_rank, 3);
  for (const Numerics numerics : {Numerics::kPrecise, Numerics::kCompat}) {
    const QuantizedLinear q = quantize_layer(layer, copy_of(linear), int8_step(), numerics);
    EXPECT_EQ(q.lora_down.dtype(), DType::kBF16);
    EXPECT_EQ(q.lora_down.shape(), (Shape{3, 256}));
    EXPECT_EQ(q.lora_up.shape(), (Shape{64, 3}));
    EXPECT_GT(sqnr(linear, q), sqnr(linear, plain) + 10);
    // The codes make up for the rounding of the branch: without that 2^-9 of it would remain, 50 dB or so.
    if (numerics == Numerics::kPrecise) {
      EXPECT_GT(sqnr(linear, q), 54);
    }
  }
}

TEST(Preparation, TheBytesDoNotDependOnThreads) {
  const LinearWeight linear = with_outlier_columns(67, 128);
  LayerPlan layer = taken(linear.weight.shape());
  prepare_layer({.type = "convrot", .group_size = 64}, 0, layer);
  prepare_layer({.type = "svd_res", .rank = 8}, 0, layer);
  std::vector<QuantizedLinear> results;
  for (const int count : {1, 5}) {
    set_threads(count);
    results.push_back(quantize_layer(layer, copy_of(linear), int8_step(), Numerics::kPrecise));
  }
  set_threads(0);
  EXPECT_TRUE(std::ranges::equal(results[0].weight.raw(), results[1].weight.raw()));
  EXPECT_TRUE(std::ranges::equal(results[0].scale.raw(), results[1].scale.raw()));
  EXPECT_TRUE(std::ranges::equal(results[0].lora_up.raw(), results[1].lora_up.raw()));
  EXPECT_TRUE(std::ranges::equal(results[0].lora_down.raw(), results[1].lora_down.raw()));
}

TEST(Preparation, RefusesWhatDoesNotFit) {
  const ProcessStep convrot{.type = "convrot", .group_size = 256};
  EXPECT_THAT(prepare_error(convrot, 0, taken({64, 384})),
              HasSubstr("blocks.0.ffn.0: 384 inputs do not divide into groups of 256"));
  EXPECT_THAT(prepare_error(convrot, 2, taken({64, 256})), HasSubstr("stands behind process[1]"));
  EXPECT_THAT(prepare_error({.type = "svd_res", .rank = 65}, 0, taken({64, 256})),
              HasSubstr("rank 65 is above that of a weight [64, 256]"));
  std::string why;
  EXPECT_TRUE(supports_preparation({.type = "svd_res"}, Numerics::kCompat, &why));
  EXPECT_TRUE(supports_preparation(convrot, Numerics::kPrecise, &why));
  EXPECT_FALSE(supports_preparation(convrot, Numerics::kCompat, &why));
  EXPECT_THAT(why, HasSubstr("no convrot"));
  EXPECT_FALSE(is_preparation(int8_step()));
}

TEST(Preparation, TheFirstOfTwoStepsWins) {
  LayerPlan layer = taken({64, 256});
  prepare_layer({.type = "convrot", .group_size = 16}, 0, layer);
  prepare_layer({.type = "convrot", .group_size = 64}, 0, layer);
  EXPECT_EQ(layer.hadamard_group, 16);
}

}  // namespace
}  // namespace wanslim
