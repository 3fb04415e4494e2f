// SPDX-License-Identifier: Apache-2.0
#include "quant/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ProcessStep int8_step(std::vector<std::string> include, std::vector<std::string> exclude = {}) {
  ProcessStep step;
  step.type = "linear_quant";
  step.include = std::move(include);
  step.exclude = std::move(exclude);
  step.activation.encoding = Encoding::kInt8;
  step.activation.granularity = Granularity::kToken;
  step.activation.method = "minmax";
  step.weight.encoding = Encoding::kInt8;
  step.weight.granularity = Granularity::kChannel;
  step.weight.method = "minmax";
  return step;
}

std::vector<LayerPlan> layers() {
  std::vector<LayerPlan> out;
  for (const char* name :
       {"blocks.0.modulation", "blocks.0.self_attn.q", "blocks.0.ffn.0", "blocks.0.ffn.2", "head.head"}) {
    LayerPlan layer;
    layer.name = name;
    layer.linear = layer.name != "blocks.0.modulation";
    layer.block = layer.name.starts_with("blocks") ? 0 : -1;
    layer.shape = {64, 64};
    out.push_back(layer);
  }
  return out;
}

std::vector<std::string> taken(const QuantPlan& plan, int step) {
  std::vector<std::string> out;
  for (const LayerPlan& layer : plan.layers) {
    if (layer.quantized() && layer.step == step) out.push_back(layer.name);
  }
  return out;
}

std::string plan_error(const Recipe& recipe) {
  try {
    plan_layers(recipe, layers(), Numerics::kPrecise);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Plan, TakesLinearsInsideBlocksAlone) {
  Recipe recipe;
  recipe.process = {int8_step({"*"}, {"*ffn.2*"})};
  const QuantPlan plan = plan_layers(recipe, layers(), Numerics::kPrecise);
  EXPECT_THAT(taken(plan, 0), ElementsAre("blocks.0.self_attn.q", "blocks.0.ffn.0"));
  EXPECT_EQ(plan.layers[4].reason, "outside the blocks");
  EXPECT_EQ(plan.layers[0].reason, "not a Linear");
}

TEST(Plan, TheFirstMatchWinsAlsoInsideAGroup) {
  ProcessStep group;
  group.type = "group";
  group.steps = {int8_step({"*ffn.0"}), int8_step({"*ffn*"})};
  Recipe recipe;
  recipe.process = {int8_step({"*.q"}), group};
  const QuantPlan plan = plan_layers(recipe, layers(), Numerics::kPrecise);
  EXPECT_THAT(taken(plan, 0), ElementsAre("blocks.0.self_attn.q"));
  EXPECT_THAT(taken(plan, 1), ElementsAre("blocks.0.ffn.0"));
  EXPECT_THAT(taken(plan, 2), ElementsAre("blocks.0.ffn.2"));
}

TEST(Plan, PreparesTheLayersThatAreTaken) {
  ProcessStep rotate{.type = "convrot", .include = {"*ffn*"}, .group_size = 64};
  Recipe recipe;
  recipe.process = {rotate, int8_step({"*"}, {"*ffn.2"})};
  const QuantPlan plan = plan_layers(recipe, layers(), Numerics::kPrecise);
  EXPECT_THAT(taken(plan, 1), ElementsAre("blocks.0.self_attn.q", "blocks.0.ffn.0"));
  EXPECT_EQ(plan.layers[1].hadamard_group, 0);  // not selected
  EXPECT_EQ(plan.layers[2].hadamard_group, 64);
  EXPECT_EQ(plan.layers[3].hadamard_group, 0);  // stays float
  std::swap(recipe.process[0], recipe.process[1]);
  EXPECT_THAT(plan_error(recipe), HasSubstr("move convrot before linear_quant"));
  recipe.process = {rotate};
  EXPECT_THAT(plan_error(recipe), HasSubstr("nothing to quantize"));
}

TEST(Plan, RotatesVAgainstO) {
  std::vector<LayerPlan> attention;
  for (const char* name : {"blocks.0.cross_attn.v", "blocks.0.cross_attn.o", "blocks.0.cross_attn.v_img",
                           "blocks.0.self_attn.v", "blocks.0.self_attn.o"}) {
    LayerPlan layer;
    layer.name = name;
    layer.linear = true;
    layer.block = 0;
    layer.shape = {64, 64};
    attention.push_back(layer);
  }
  Recipe recipe;
  recipe.process = {{.type = "rotate_vo"}, int8_step({"*cross*"})};
  const auto plan = [&](int head) { return plan_layers(recipe, attention, Numerics::kPrecise, head).layers; };
  const std::vector<LayerPlan> layers = plan(16);
  EXPECT_EQ(layers[0].rotated_outputs, 16);
  EXPECT_EQ(layers[1].rotated_inputs, 16);
  EXPECT_EQ(layers[1].rotated_outputs, 0);
  EXPECT_EQ(layers[2].rotated_outputs, 16);
  EXPECT_EQ(layers[3].rotated_outputs, 0);  // all of it stays float
  EXPECT_EQ(layers[4].rotated_inputs, 0);
  const auto refusal = [&](int head) {
    try {
      plan(head);
    } catch (const Error& e) {
      return e.text;
    }
    return std::string("no error");
  };
  EXPECT_THAT(refusal(24), HasSubstr("here are 24"));
  EXPECT_THAT(refusal(0), HasSubstr("here are 0"));
  recipe.process[1].exclude = {"*v_img"};
  EXPECT_THAT(refusal(16), HasSubstr("takes blocks.0.cross_attn, but blocks.0.cross_attn.v_img stays float"));
  recipe.process[0].exclude = {"*cross_attn.o"};
  EXPECT_EQ(plan(16)[0].rotated_outputs, 0);
}

TEST(Plan, WarnsOfPatternsThatMatchNothing) {
  Recipe recipe;
  recipe.process = {int8_step({"*", "*atn*"}, {"ffn.2"})};
  const QuantPlan plan = plan_layers(recipe, layers(), Numerics::kPrecise);
  ASSERT_EQ(plan.warnings.size(), 2u);
  EXPECT_THAT(plan.warnings[0], HasSubstr("[*atn*]"));
  EXPECT_THAT(plan.warnings[1], HasSubstr("[ffn.2]"));
}

TEST(Plan, RefusesByNameWhatItCannotRun) {
  Recipe recipe;
  recipe.source = "r.yaml";
  EXPECT_THAT(plan_error(recipe), HasSubstr("nothing to quantize"));
  recipe.process = {int8_step({"ffn.2"})};
  EXPECT_THAT(plan_error(recipe), HasSubstr("nothing to quantize"));
  recipe.process = {int8_step({"*"})};
  recipe.process[0].type = "iter_smooth";
  recipe.process[0].place = {.line = 7, .column = 5};
  EXPECT_THAT(plan_error(recipe), HasSubstr("r.yaml:7:5: the processor \"iter_smooth\""));
  recipe.process = {int8_step({"*"})};
  recipe.process[0].activation.granularity = Granularity::kTensor;
  EXPECT_THAT(plan_error(recipe), HasSubstr("need calibration"));
  recipe.process = {int8_step({"*"})};
  recipe.process[0].weight.method = "gptqq";
  EXPECT_THAT(plan_error(recipe), HasSubstr("gptqq"));
  recipe.process = {int8_step({"*"})};
  recipe.prior.resize(1);
  EXPECT_THAT(plan_error(recipe), HasSubstr("spec.prior"));
}

}  // namespace
}  // namespace wanslim
