// SPDX-License-Identifier: Apache-2.0
#include "config/recipe_yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Recipe recipe_of(const std::string& name) {
  return load_recipe(std::string(WANSLIM_TESTDATA) + "/recipes/" + name + ".yaml");
}

TEST(RecipeYaml, ReadsTheSeed) {
  const Recipe r = recipe_of("seed");
  EXPECT_EQ(r.apiversion, "multimodal_sd_modelslim_v1");
  ASSERT_EQ(r.process.size(), 1u);
  const ProcessStep& step = r.process[0];
  EXPECT_EQ(step.type, "linear_quant");
  EXPECT_THAT(step.include, ElementsAre("*"));
  EXPECT_THAT(step.exclude, ElementsAre("*ffn.2*"));
  EXPECT_EQ(step.activation.encoding, Encoding::kInt8);
  EXPECT_EQ(step.activation.granularity, Granularity::kToken);
  EXPECT_EQ(step.weight.granularity, Granularity::kChannel);
  EXPECT_EQ(step.weight.method, "minmax");
  EXPECT_TRUE(step.weight.symmetric);
  EXPECT_EQ(step.weight.place.line, 13);
  ASSERT_EQ(r.save.size(), 1u);
  EXPECT_EQ(r.save[0].type, "mindie_format_saver");
  EXPECT_EQ(r.save[0].part_file_size, 0);
  ASSERT_TRUE(r.dump);
  EXPECT_TRUE(r.dump->enable_dump);
  ASSERT_EQ(r.inference.size(), 3u);
  EXPECT_THAT(r.inference[0].second, HasSubstr("A stylish woman walks down a Tokyo street"));
  EXPECT_THAT(r.inference[1], Pair("offload_model", "true"));
  EXPECT_THAT(r.inference[2], Pair("frame_num", "121"));
  EXPECT_THAT(r.warnings, ElementsAre(HasSubstr("multimodal_sd_config.model_config will be deprecated.")));
}

TEST(RecipeYaml, ReadsEveryRecipeThatTheReferenceWasGiven) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(WANSLIM_TESTDATA) + "/recipes")) {
    const Recipe r = load_recipe(file.path());
    EXPECT_FALSE(r.process.empty()) << file.path();
    EXPECT_FALSE(r.save.empty()) << file.path();
    ++count;
  }
  EXPECT_EQ(count, 23);
}

TEST(RecipeYaml, ReadsMixedSteps) {
  const Recipe r = recipe_of("mixed_mxfp8_mxfp4");
  ASSERT_EQ(r.process.size(), 2u);
  EXPECT_THAT(r.process[0].include, ElementsAre("blocks.0.*"));
  EXPECT_EQ(r.process[0].weight.method, "mse_round");
  EXPECT_EQ(r.process[1].weight.encoding, Encoding::kMxFp4);
  EXPECT_TRUE(r.process[1].weight.options.enable_search);
  EXPECT_THAT(r.process[1].weight.options.given, ElementsAre("enable_search"));
  EXPECT_EQ(recipe_of("svd_res_w8a8").process[0].rank, 8);
  EXPECT_FALSE(recipe_of("w8a8_static_asym").process[0].activation.symmetric);
  EXPECT_EQ(recipe_of("w4a4_mxfp4_dualscale").process[0].weight.granularity, Granularity::kDual);
}

constexpr std::string_view kBreadth = R"(apiversion: multimodal_sd_modelslim_v1
metadata:
  config_id: everything
  score: 90
  label: {w_bit: 4, a_bit: 4, fa_quant: yes, note: "it's"}
  verified_model_types: [Wan2_1, "中文"]
  verified_tags: {Wan2_1: [[MindIE-SD, Atlas_350], []]}
int8_side: &token {scope: per_token, dtype: int8, symmetric: on, method: minmax}
weight_side: &weight {scope: per_channel, dtype: int4, symmetric: True, method: ssz, ext: {step: 0x20}}
pair: &pair
  act: *token
  weight: *weight
spec:
  runner: model_wise
  prior:
    - process: [{type: adapt_rotation, stage: 1, steps: 20, quant_dtype: int4, layer_type: [up_proj], block_size: 64}]
      dataset: other.jsonl
    - {}
  process:
    - {type: linear_quant, qconfig: *pair, include: ["blocks.{0..4}.*"], exclude: []}
    - {type: linear_quant, qconfig: {weight: {scope: per_group, dtype: int4, symmetric: True, method: minmax, ext: {group_size: 64}}}}
    - {type: linear_quant, qconfig: {act: {scope: per_tensor, dtype: int8, symmetric: False, method: minmax, ext: {aggregation_type: mean, timestep: True}}, weight: *weight}}
    - {type: linear_quant, qconfig: {weight: {scope: per_channel, dtype: int8, symmetric: False, method: gptq, ext: {percdamp: 1e-2, block_size: 1_28, group_size: "32"}}}}
    - {type: linear_quant, qconfig: {weight: {scope: per_block, dtype: mxfp4, symmetric: True, method: ceil_x, ext: {enable_search: True, search_min: 6.5, search_max: 8, search_step: 1.0e-1, ceil_x_value: 7, axes: [-1]}}}}
    - {type: linear_quant, qconfig: {weight: {scope: dual_scale, dtype: mxfp4, symmetric: True, method: dualscale, ext: {dual_block_size: 512}}}}
    - {type: linear_quant, qconfig: {weight: {scope: per_block, dtype: q4_k, symmetric: True, method: ggml}}}
    - type: group
      configs:
        - {type: svd_res, rank: 16, include: ["*q"], exclude: ["*2"]}
        - {type: group, configs: []}
    - {type: iter_smooth, alpha: 9e-1, scale_min: 1.0e-5, symmetric: No, enable_subgraph_type: [norm-linear, ov], include: null, exclude: ~}
    - {type: smooth_quant, alpha: 0.5, include: ["*"]}
    - {type: flex_smooth_quant, alpha: null, beta: 0.3}
    - {type: flex_awq_ssz, qconfig: *pair}
    - {type: awq, weight_qconfig: *weight, n_grid: 10}
    - {type: kv_smooth, smooth_factor: 2}
    - {type: quarot, online: True, block_size: -1, down_proj_online_layers: [0, 3], max_tp_size: 8, export_extra_info: False}
    - {type: online_quarot, include: ["*.self_attn.*"], block_size: 128}
    - {type: adapt_rotation, stage: 2, online: False, max_tp_size: 1}
    - {type: flatquant, exclude: ["*o"], epochs: 10, flat_lr: 1.0e-3, amp_dtype: bfloat16}
    - {type: autoround_quant, iters: 5, strategies: [{qconfig: *pair, include: ["a"]}, {qconfig: *pair}]}
    - {type: fa3_quant, include: ["*self_attn"]}
    - {type: fa3_quant, qconfig: {dtype: fp8_e4m3, scope: per_token, symmetric: True, method: minmax}}
    - {type: fa3_quant, details: {fa_q: *token, fa_v: *token}}
    - {type: dynamic_cache, qconfig: {dtype: int8, scope: per_channel, symmetric: False, method: minmax}, include: ["*"]}
    - {type: float_sparse, sparse_ratio: 0.25}
    - {type: linear_quant, qconfig: {act: {dtype: int8, scope: pd_mix, symmetric: False, method: minmax}, weight: *weight}}
    - {type: convrot, group_size: 0x40, include: ["*q"], exclude: ["*2"]}
    - {type: rotate_vo, include: ["*self_attn*"]}
  save:
    - {type: ascendv1_saver, save_directory: "."}
    - {type: gguf_saver, part_file_size: 2.0, ext: {}}
  dataset: d.jsonl
  prcess: []
  multimodal_sd_config:
    dump_config: {capture_mode: args, dump_data_dir: /data, dump: 1}
    inference_config:
      task: t2v-14B
      size: 1280*720
      prompt: |
        two lines,
        "quoted" and it's: fine
      sample_steps: "20"
      sample_shift: 3
      base_seed: -1
      offload_model: "yes"
      image: ~
      t5_fsdp: False
)";

TEST(RecipeYaml, ReadsTheWholeProtocol) {
  const Recipe r = parse_recipe(kBreadth, "b.yaml");
  ASSERT_EQ(r.process.size(), 27u);
  EXPECT_THAT(r.label, ElementsAre(Pair("w_bit", "4"), Pair("a_bit", "4"), Pair("fa_quant", "true"),
                                   Pair("note", "\"it's\"")));
  EXPECT_EQ(r.process[0].weight.options.step, 32);
  EXPECT_EQ(r.process[1].activation.encoding, Encoding::kFloat);
  EXPECT_EQ(r.process[1].weight.options.group_size, 64);
  EXPECT_TRUE(r.process[2].activation.options.timestep);
  EXPECT_EQ(r.process[2].activation.options.aggregation_type, "mean");
  EXPECT_DOUBLE_EQ(r.process[3].weight.options.percdamp, 0.01);
  EXPECT_EQ(r.process[3].weight.options.block_size, 128);
  EXPECT_EQ(r.process[3].weight.options.group_size, 32);
  EXPECT_DOUBLE_EQ(r.process[4].weight.options.search_step, 0.1);
  EXPECT_EQ(r.process[6].weight.encoding, Encoding::kQ4_K);
  ASSERT_EQ(r.process[7].steps.size(), 2u);
  EXPECT_EQ(r.process[7].steps[0].rank, 16);
  EXPECT_THAT(r.process[8].include, ElementsAre("*"));
  EXPECT_THAT(r.process[8].other,
              ElementsAre(Pair("alpha", "0.9"), Pair("scale_min", "1.0e-05"), Pair("symmetric", "false"),
                          Pair("enable_subgraph_type", "[\"norm-linear\", \"ov\"]")));
  EXPECT_THAT(r.process[10].other, ElementsAre(Pair("alpha", "null"), Pair("beta", "0.3")));
  EXPECT_EQ(r.process[12].weight.method, "ssz");
  EXPECT_EQ(r.process[18].steps[0].type, "strategy");
  EXPECT_EQ(r.process[19].activation.granularity, Granularity::kHead);
  EXPECT_EQ(r.process[20].activation.encoding, Encoding::kFp8E4M3);
  EXPECT_EQ(r.process[21].details.size(), 2u);
  EXPECT_EQ(r.process[24].activation.granularity, Granularity::kPdMix);
  EXPECT_EQ(r.process[25].group_size, 64);
  EXPECT_EQ(r.save[0].part_file_size, 4);
  EXPECT_EQ(r.save[1].part_file_size, 2);
  EXPECT_EQ(r.prior[0].dataset, "other.jsonl");
  EXPECT_EQ(r.runner, "layer_wise");
  EXPECT_THAT(r.inference,
              ElementsAre(Pair("task", "t2v-14B"), Pair("size", "1280*720"),
                          Pair("prompt", "two lines,\n\"quoted\" and it's: fine\n"),
                          Pair("sample_steps", "20"), Pair("sample_shift", "3.0"), Pair("base_seed", "-1"),
                          Pair("offload_model", "true"), Pair("t5_fsdp", "false")));
  EXPECT_THAT(
      r.warnings,
      ElementsAre(HasSubstr("b.yaml:14:11: runner for multimodal_sd_v1 is not layer_wise"),
                  HasSubstr("spec.multimodal_sd_config.dump_config: unknown key \"dump\""),
                  HasSubstr("spec: unknown key \"prcess\" - did you mean \"process\"?; it has no effect")));
}

// What is left when places, texts and warnings are taken away.
void strip(std::vector<ProcessStep>& steps) {
  for (ProcessStep& step : steps) {
    step.place = step.activation.place = step.weight.place = {};
    for (auto& [name, side] : step.details) side.place = {};
    strip(step.steps);
  }
}

Recipe bare(Recipe r) {
  r.source = r.text = "";
  r.warnings.clear();
  strip(r.process);
  for (PriorStage& stage : r.prior) {
    stage.place = {};
    strip(stage.process);
  }
  for (SaveStep& step : r.save) step.place = {};
  return r;
}

TEST(RecipeYaml, WrittenRecipesReadBackTheSame) {
  std::vector<Recipe> all = {parse_recipe(kBreadth, "b.yaml")};
  for (const auto& file : std::filesystem::directory_iterator(std::string(WANSLIM_TESTDATA) + "/recipes")) {
    all.push_back(load_recipe(file.path()));
  }
  for (const Recipe& r : all) {
    const std::string text = recipe_yaml(r);
    const Recipe again = parse_recipe(text, "again");
    EXPECT_TRUE(bare(again) == bare(r)) << text;
    EXPECT_EQ(recipe_yaml(again), text);
  }
}

TEST(RecipeYaml, BestPracticeFileKeepsExtraKeysAndOrder) {
  // pydantic's model_dump and PyYAML's safe_dump of the same file.
  EXPECT_EQ(best_practice_yaml(parse_recipe(R"(spec:
  save: []
  multimodal_sd_config: {model_config: {prompt: &p "x: y"}, dump_config: {}}
extra: {when: 2025-01-01, again: *p, list: [1.0e-5, 0x10, ~]}
metadata: {label: {b: 0.10}, score: 3}
apiversion: multimodal_sd_modelslim_v1
)",
                                            "x")),
            R"(apiversion: multimodal_sd_modelslim_v1
spec:
  save: []
  multimodal_sd_config:
    model_config:
      prompt: 'x: y'
    dump_config: {}
metadata:
  config_id: Unknown
  score: 3.0
  label:
    b: 0.1
  verified_model_types: []
  verified_tags: {}
extra:
  when: '2025-01-01'
  again: 'x: y'
  list:
  - 1.0e-05
  - 16
  - null
)");
}

}  // namespace
}  // namespace wanslim
