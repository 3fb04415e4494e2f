// SPDX-License-Identifier: Apache-2.0
#include "models/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/error.h"
#include "base/json.h"
#include "io/file.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json data(const std::string& name) {
  return parse_json(read_text(Path(WANSLIM_TESTDATA) / name, 1 << 20), name);
}

// A transformer with every part, so that every row of the tables is used.
WanGeometry everything() {
  return {.dim = 256,
          .ffn_dim = 96,
          .heads = 2,
          .layers = 13,
          .has_image_condition = true,
          .has_image_position = true,
          .vace_layers = {0, 5, 10}};
}

TEST(TensorSpecs, OrderIsThatOfTheReferencesDescription) {
  const Json description =
      data("msmodelslim/w8a8_dynamic_practice/output/quant_model_description_w8a8_dynamic.json");
  std::vector<std::string> expected;
  for (const auto& [key, type] : description.items()) {
    if (key.ends_with("weight_scale") || key.ends_with("weight_offset") || key == "model_quant_type")
      continue;
    expected.push_back(key);
  }
  std::vector<std::string> got;
  for (const TensorSpec& spec : tensor_specs({.dim = 128, .ffn_dim = 512, .heads = 1, .layers = 2}))
    got.push_back(spec.name);
  EXPECT_EQ(got, expected);
}

TEST(TensorSpecs, ImagePartsFollowTheOfficialStateDict) {
  const WanGeometry g{.dim = 128,
                      .ffn_dim = 112,
                      .heads = 1,
                      .layers = 1,
                      .in_dim = 36,
                      .text_dim = 128,
                      .image_dim = 160,
                      .has_image_condition = true};
  using Row = std::pair<std::string, Shape>;
  std::vector<Row> blocks, roots, got_blocks, got_roots;
  const Json names = data("official/dit/naming/case.json").at("i2v_names");
  for (const Json& row : names) {
    const std::string name = row[0].get<std::string>();
    (name.starts_with("blocks.") ? blocks : roots).emplace_back(name, row[2].get<Shape>());
  }
  for (const TensorSpec& spec : tensor_specs(g))
    (spec.in_block() ? got_blocks : got_roots).emplace_back(spec.name, spec.shape);
  EXPECT_EQ(got_blocks, blocks);
  EXPECT_EQ(got_roots, roots);
}

TEST(TensorSpecs, CountsOfThePublishedCheckpoints) {
  const struct {
    const char* variant;
    size_t tensors, linears_in_blocks;
    int64_t parameters;
  } rows[] = {
      {"t2v-1.3B", 825, 300, 1'418'996'800},       {"t2v-14B", 1095, 400, 14'288'491'584},
      {"i2v-14B-480P", 1303, 480, 16'394'878'784}, {"flf2v-14B-720P", 1304, 480, 16'395'536'704},
      {"vace-1.3B", 1264, 466, 2'153'972'032},     {"vace-14B", 1331, 489, 17'337'592'896},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.variant);
    size_t linears = 0;
    int64_t parameters = 0;
    const auto specs = tensor_specs(wan_variant(row.variant).geometry);
    for (const TensorSpec& spec : specs) {
      linears += spec.in_block() && spec.is_linear_weight();
      parameters += element_count(spec.shape);
    }
    EXPECT_EQ(specs.size(), row.tensors);
    EXPECT_EQ(linears, row.linears_in_blocks);
    EXPECT_EQ(parameters, row.parameters);
  }
}

TEST(TensorSpecs, SayWhereATensorBelongs) {
  const auto specs = tensor_specs(everything());
  const auto find = [&](std::string_view name) {
    for (const TensorSpec& spec : specs)
      if (spec.name == name) return spec;
    ADD_FAILURE() << name;
    return TensorSpec{};
  };
  const TensorSpec ffn = find("blocks.12.ffn.2.weight");
  EXPECT_EQ(ffn.layer, "blocks.12.ffn.2");
  EXPECT_EQ(ffn.unit, "blocks.12");
  EXPECT_EQ(ffn.block, 12);
  EXPECT_TRUE(ffn.is_linear_weight());
  EXPECT_THAT(ffn.shape, ElementsAre(256, 96));
  const TensorSpec before = find("vace_blocks.0.before_proj.bias");
  EXPECT_TRUE(before.vace && before.in_block() && before.is_linear() && !before.is_linear_weight());
  EXPECT_EQ(find("blocks.1.modulation").layer, "blocks.1");
  EXPECT_EQ(find("head.modulation").layer, "head");
  EXPECT_FALSE(find("head.head.weight").in_block());
  EXPECT_EQ(find("img_emb.proj.0.weight").role, TensorRole::kNormWeight);
  EXPECT_EQ(find("patch_embedding.weight").role, TensorRole::kConvWeight);
}

TEST(Naming, DiffusersNamesAreThoseOfThePublishedConversion) {
  const Json rules = data("official/dit/naming/case.json").at("dit_official_to_diffusers_regex_in_order");
  std::vector<std::pair<std::regex, std::string>> replacements;
  for (const Json& rule : rules) {
    replacements.emplace_back(
        rule[0].get<std::string>(),
        std::regex_replace(rule[1].get<std::string>(), std::regex(R"(\\(\d))"), "$$$1"));
  }
  WanGeometry g = everything();
  g.vace_layers.clear();
  for (const TensorSpec& spec : tensor_specs(g)) {
    std::string expected = spec.name;
    for (const auto& [from, to] : replacements) expected = std::regex_replace(expected, from, to);
    EXPECT_EQ(name_in(Naming::kDiffusers, spec.name), expected);
  }
  EXPECT_EQ(name_in(Naming::kDiffusers, "vace_blocks.0.before_proj.weight"), "vace_blocks.0.proj_in.weight");
}

TEST(Naming, EveryNameGoesThereAndBack) {
  for (Naming naming : {Naming::kOfficial, Naming::kDiffusers, Naming::kComfyUi}) {
    SCOPED_TRACE(name_of(naming));
    EXPECT_EQ(naming_from_name(name_of(naming)), naming);
    std::vector<std::string> names;
    for (const TensorSpec& spec : tensor_specs(everything())) {
      const auto there = name_in(naming, spec.name);
      ASSERT_TRUE(there) << spec.name;
      EXPECT_EQ(official_name(naming, *there), spec.name);
      names.push_back(*there);
    }
    EXPECT_EQ(detect_naming(names), naming);
    EXPECT_EQ(official_name(naming, *name_in(naming, "blocks.7.ffn.0")), "blocks.7.ffn.0");
    EXPECT_EQ(official_name(naming, *name_in(naming, "head.head.weight_scale")), "head.head.weight_scale");
  }
  EXPECT_EQ(name_in(Naming::kComfyUi, "head.modulation"), "model.diffusion_model.head.modulation");
}

TEST(Naming, WhatIsNoModuleIsNoName) {
  for (const char* name : {"",
                           ".",
                           "blocks",
                           "blocks.",
                           "blocks.0",
                           "blocks.0.",
                           "blocks..ffn.0.weight",
                           "blocks.-1.ffn.0.weight",
                           "blocks.00.ffn.0.weight",
                           "blocks.01.ffn.0.weight",
                           "blocks.99999999999.ffn.0.weight",
                           "blocks.1e3.ffn.0.weight",
                           "blocks.0.ffn.1.weight",
                           "blocks.0.ffn.00",
                           "blocks.0.ffn",
                           "xblocks.0.ffn.0",
                           "blocks.0.norm1.weight",
                           "patch_embeddingx.weight",
                           "vae.patch_embedding.weight",
                           "head.head2"}) {
    EXPECT_FALSE(official_name(Naming::kOfficial, name)) << name;
    EXPECT_FALSE(official_name(Naming::kComfyUi, name)) << name;
  }
  EXPECT_FALSE(official_name(Naming::kDiffusers, "blocks.0.norm3.weight"));
  EXPECT_FALSE(official_name(Naming::kDiffusers, "blocks.0.ffn.0.weight"));
  EXPECT_EQ(detect_naming(std::vector<std::string>{"encoder.conv1.weight"}), Naming::kOfficial);
  EXPECT_EQ(official_name(Naming::kOfficial, "blocks.999999.ffn.0.weight"), "blocks.999999.ffn.0.weight");
}

TEST(Naming, OffersTheNearestScheme) {
  try {
    naming_from_name("diffuser");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("did you mean \"diffusers\""));
    EXPECT_EQ(e.parts.kind, Error::Kind::kUsage);
  }
}

}  // namespace
}  // namespace wanslim
