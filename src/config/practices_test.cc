// SPDX-License-Identifier: Apache-2.0
#include "config/practices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "config/recipe_yaml.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Recipe recipe_of(std::string_view quant_type) {
  return parse_recipe(choose_practice(quant_type).yaml, "practice");
}

std::string refusal(std::string_view quant_type) {
  try {
    choose_practice(quant_type);
  } catch (const Error& e) {
    EXPECT_EQ(e.parts.kind, Error::Kind::kUsage);
    return e.text;
  }
  return "";
}

// Bits per weight that a label rounds down to.
int bits(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat:
      return 16;
    case Encoding::kInt8:
    case Encoding::kFp8E4M3:
    case Encoding::kMxFp8:
    case Encoding::kQ8_0:
      return 8;
    case Encoding::kQ6_K:
      return 6;
    case Encoding::kQ5_K:
      return 5;
    case Encoding::kQ3_K:
      return 3;
    case Encoding::kQ2_K:
      return 2;
    default:
      return 4;
  }
}

TEST(Practices, EachParsesNamesItselfAndNeedsNoData) {
  std::set<std::string> seen;
  for (const Practice& practice : practices()) {
    const Recipe r = parse_recipe(practice.yaml, practice.name);
    EXPECT_EQ(r.config_id, practice.name);
    ASSERT_FALSE(r.process.empty()) << practice.name;
    const ProcessStep& last = r.process.back();
    EXPECT_THAT(last.include, ElementsAre("*")) << practice.name;
    EXPECT_EQ(bits(last.weight.encoding), practice.w_bit) << practice.name;
    EXPECT_EQ(bits(last.activation.encoding), practice.a_bit) << practice.name;
    EXPECT_EQ(r.save.size(), 1u);
    EXPECT_EQ(r.save[0].part_file_size, 0);
    for (const ProcessStep& step : r.process) {
      EXPECT_NE(step.activation.granularity == Granularity::kTensor,
                step.activation.encoding != Encoding::kFloat)
          << practice.name << ": a static activation scale would need data";
    }
    EXPECT_TRUE(seen.insert(practice.name).second);
    for (const std::string& type : practice.quant_types) {
      EXPECT_TRUE(seen.insert(type).second) << type << " chooses two practices";
      EXPECT_EQ(&choose_practice(type), &practice);
    }
    EXPECT_LT(practice.description.size(), 110u);
  }
}

TEST(Practices, TheDefaultIsTheSeed) {
  Recipe r = recipe_of("w8a8"), seed = load_recipe(std::string(WANSLIM_TESTDATA) + "/recipes/seed.yaml");
  for (Recipe* recipe : {&r, &seed}) {  // what the file and its metadata alone decide
    recipe->source = recipe->text = "";
    recipe->warnings.clear();
    recipe->score = 100;
    recipe->config_id = "";
    recipe->label.clear();
    recipe->verified_model_types.clear();
    for (ProcessStep& step : recipe->process) step.place = step.activation.place = step.weight.place = {};
    for (SaveStep& step : recipe->save) step.place = {};
  }
  EXPECT_TRUE(r == seed);
}

TEST(Practices, TheBestPracticeFileOfTheDefaultIsTheReferences) {
  // PyYAML's dump of the reference's own practice file.
  EXPECT_EQ(best_practice_yaml(recipe_of("w8a8")), R"(apiversion: multimodal_sd_modelslim_v1
spec:
  process:
  - type: linear_quant
    qconfig:
      act:
        scope: per_token
        dtype: int8
        symmetric: true
        method: minmax
      weight:
        scope: per_channel
        dtype: int8
        symmetric: true
        method: minmax
    include:
    - '*'
    exclude:
    - '*ffn.2*'
  save:
  - type: mindie_format_saver
    part_file_size: 0
  multimodal_sd_config:
    dump_config:
      capture_mode: args
      dump_data_dir: ''
    model_config:
      prompt: A stylish woman walks down a Tokyo street filled with warm glowing neon
        and animated city signage. She wears a black leather jacket, a long red dress,
        and black boots, and carries a black purse. She wears sunglasses and red lipstick.
        She walks confidently and casually. The street is damp and reflective, creating
        a mirror effect of the colorful lights. Many pedestrians walk about.
      offload_model: true
      frame_num: 121
metadata:
  config_id: wan2_1_w8a8_dynamic
  score: 0.95
  label:
    w_bit: 8
    a_bit: 8
    is_sparse: false
    kv_cache: false
  verified_model_types:
  - Wan2_1
  - Wan2.1
  verified_tags: {}
)");
}

TEST(Practices, ChoosesByNameInAnyCase) {
  EXPECT_EQ(choose_practice("Q4_K").name, "wan2_1_q4_k");
  EXPECT_EQ(choose_practice("wan2_1_mxfp8").name, "wan2_1_mxfp8");
  EXPECT_EQ(choose_practice("w8a8f8").name, "wan2_1_w8a8_fp8");
  EXPECT_EQ(recipe_of("w8a8f8").process[0].weight.encoding, Encoding::kFp8E4M3);
  const Recipe groups = recipe_of("w4a16_g64");
  EXPECT_EQ(groups.process[0].weight.granularity, Granularity::kGroup);
  EXPECT_EQ(groups.process[0].weight.options.group_size, 64);
  EXPECT_EQ(recipe_of("mxfp4").process.size(), 2u);
  const Recipe convrot = recipe_of("convrot");
  ASSERT_EQ(convrot.process.size(), 2u);
  EXPECT_EQ(convrot.process[0].type, "convrot");
  EXPECT_EQ(convrot.process[0].group_size, 256);
}

TEST(Practices, RefusesOthersWithTheReason) {
  EXPECT_THAT(refusal("w8a8c8"), HasSubstr("key-value cache"));
  EXPECT_THAT(refusal("w4a4f4"), HasSubstr("fa3_quant"));
  EXPECT_THAT(refusal("w8a8s"), HasSubstr("sparse"));
  EXPECT_THAT(refusal("w16a16s"), HasSubstr("sparse"));
  EXPECT_THAT(refusal("w8a6"), HasSubstr("has no built-in practice - did you mean \"w8a8\"?"));
  EXPECT_THAT(refusal("mxpf8"), HasSubstr("is unknown - did you mean \"mxfp8\"?"));
  EXPECT_THAT(refusal(""), HasSubstr("is unknown"));
  EXPECT_THAT(refusal("qqqqqqqqqqqq"), HasSubstr("the types are w8a8, w8a16"));
  EXPECT_THAT(refusal("\x1b[31m"), HasSubstr("?[31m"));
}

}  // namespace
}  // namespace wanslim
