// SPDX-License-Identifier: Apache-2.0
#include "quant/row_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <random>

#include "base/error.h"
#include "config/practices.h"
#include "config/recipe_yaml.h"
#include "quant/methods.h"
#include "quant/plan.h"
#include "quant/preparation.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kOut = 37, kIn = 512;

Tensor weight_of(DType dtype) {
  Tensor weight(DType::kF32, {kOut, kIn});
  std::mt19937 random(11);
  for (float& x : weight.as<float>()) x = static_cast<float>(random() / 2147483648.0 - 1) * 0.05f;
  if (dtype == DType::kF32) return weight;
  Tensor narrow(dtype, {kOut, kIn});
  for (size_t i = 0; i < static_cast<size_t>(weight.count()); ++i)
    narrow.as<uint16_t>()[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(weight.as<float>()[i]) >> 16);
  return narrow;
}

Tensor rows_of(const Tensor& weight, int64_t first, int64_t count) {
  Tensor rows(weight.dtype(), {count, weight.dim(1)});
  const size_t row_bytes = rows.bytes() / static_cast<size_t>(count);
  std::memcpy(rows.raw().data(), weight.raw().data() + static_cast<size_t>(first) * row_bytes, rows.bytes());
  return rows;
}

LayerPlan plan_for(const ProcessStep& step, DType dtype) {
  LayerPlan layer;
  layer.name = "blocks.0.ffn.0";
  layer.linear = layer.has_bias = true;
  layer.block = 0;
  layer.shape = {kOut, kIn};
  layer.dtype = dtype;
  layer.scheme = scheme_of(step.activation, step.weight);
  layer.step = 0;
  return layer;
}

Tensor bias_of() {
  Tensor bias(DType::kF32, {kOut});
  for (int64_t i = 0; i < kOut; ++i) bias.as<float>()[static_cast<size_t>(i)] = static_cast<float>(i) / 16;
  return bias;
}

QuantizedLinear in_slices_of(int64_t rows, const LayerPlan& layer, const ProcessStep& step,
                             Numerics numerics) {
  const Tensor weight = weight_of(layer.dtype);
  RowQuantizer quantizer(layer, step, numerics);
  for (int64_t first = 0; quantizer.looks_first() && first < kOut; first += rows)
    quantizer.look(rows_of(weight, first, std::min(rows, kOut - first)));
  for (int64_t first = 0; first < kOut; first += rows)
    quantizer.add(rows_of(weight, first, std::min(rows, kOut - first)));
  return quantizer.finish(bias_of());
}

void expect_same(const Tensor& a, const Tensor& b, const std::string& what) {
  EXPECT_EQ(a.empty(), b.empty()) << what;
  ASSERT_EQ(a.shape(), b.shape()) << what;
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  EXPECT_TRUE(std::equal(a.raw().begin(), a.raw().end(), b.raw().begin())) << what;
}

// Every Linear step of every built-in practice: in slices, where it says that it may be, the result is the
// same.
TEST(RowQuantizer, makes_what_the_whole_layer_makes) {
  int sliced = 0;
  for (const Practice& practice : practices()) {
    const Recipe recipe = parse_recipe(practice.yaml, practice.name);
    for (const ProcessStep& step : flat_steps(recipe)) {
      if (step.type != "linear_quant") continue;
      const Numerics numerics = Numerics::kPrecise;
      LayerPlan layer = plan_for(step, DType::kBF16);
      if (practice.name.find("convrot") != std::string::npos) layer.hadamard_group = 256;
      ASSERT_TRUE(by_rows(layer, step, numerics)) << practice.name;
      ++sliced;
      const LinearWeight whole{.name = layer.name, .weight = weight_of(layer.dtype), .bias = bias_of()};
      const QuantizedLinear expected =
          quantize_layer(layer, {whole.name, whole.weight.clone(), whole.bias.clone()}, step, numerics);
      for (const int64_t rows : {int64_t{1}, int64_t{5}, kOut}) {
        const QuantizedLinear got = in_slices_of(rows, layer, step, numerics);
        const std::string what = std::string(practice.name) + " in slices of " + std::to_string(rows);
        EXPECT_EQ(got.name, expected.name);
        EXPECT_TRUE(got.scheme == expected.scheme) << what;
        expect_same(got.weight, expected.weight, what);
        expect_same(got.scale, expected.scale, what);
        expect_same(got.dual_scale, expected.dual_scale, what);
        expect_same(got.bias, expected.bias, what);
      }
    }
  }
  EXPECT_GE(sliced, 22);
}

ProcessStep step_of(Encoding encoding, Granularity granularity, const char* method) {
  ProcessStep step{.type = "linear_quant"};
  step.weight = {.encoding = encoding, .granularity = granularity, .method = method};
  return step;
}

TEST(RowQuantizer, keeps_whole_what_rows_share) {
  const ProcessStep int8 = step_of(Encoding::kInt8, Granularity::kChannel, "minmax");
  LayerPlan layer = plan_for(int8, DType::kF32);
  EXPECT_TRUE(by_rows(layer, int8, Numerics::kPrecise));
  EXPECT_TRUE(by_rows(layer, int8, Numerics::kCompat));
  layer.hadamard_group = 256;
  EXPECT_TRUE(by_rows(layer, int8, Numerics::kPrecise));
  layer.rotated_outputs = 128;
  EXPECT_FALSE(by_rows(layer, int8, Numerics::kPrecise));
  layer.rotated_outputs = 0;
  layer.low_rank = 8;
  EXPECT_FALSE(by_rows(layer, int8, Numerics::kPrecise));

  const ProcessStep ssz = step_of(Encoding::kInt8, Granularity::kChannel, "ssz");
  EXPECT_TRUE(by_rows(plan_for(ssz, DType::kF32), ssz, Numerics::kPrecise));
  EXPECT_FALSE(by_rows(plan_for(ssz, DType::kF32), ssz, Numerics::kCompat));
  const ProcessStep fp8 = step_of(Encoding::kFp8E4M3, Granularity::kTensor, "minmax");
  layer = plan_for(fp8, DType::kF32);
  EXPECT_TRUE(by_rows(layer, fp8, Numerics::kPrecise));
  EXPECT_TRUE(RowQuantizer(layer, fp8, Numerics::kPrecise).looks_first());
  layer.hadamard_group = 256;  // the magnitude is that of rotated rows
  EXPECT_FALSE(by_rows(layer, fp8, Numerics::kPrecise));
  ProcessStep ceil_x = step_of(Encoding::kMxFp4, Granularity::kBlock, "ceil_x");
  ceil_x.weight.options.enable_search = true;
  EXPECT_FALSE(by_rows(plan_for(ceil_x, DType::kF32), ceil_x, Numerics::kCompat));
  EXPECT_TRUE(by_rows(plan_for(ceil_x, DType::kF32), ceil_x, Numerics::kPrecise));
}

TEST(RowQuantizer, names_the_row_of_the_layer) {
  const ProcessStep step = step_of(Encoding::kInt8, Granularity::kChannel, "minmax");
  const LayerPlan layer = plan_for(step, DType::kF32);
  Tensor weight = weight_of(DType::kF32);
  weight.as<float>()[23 * kIn + 7] = std::numeric_limits<float>::quiet_NaN();
  RowQuantizer quantizer(layer, step, Numerics::kPrecise);
  quantizer.add(rows_of(weight, 0, 20));
  try {
    quantizer.add(rows_of(weight, 20, 17));
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("blocks.0.ffn.0.weight[23, 7] is NaN"));
  }
}

}  // namespace
}  // namespace wanslim
