// SPDX-License-Identifier: Apache-2.0
#include "models/wan_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace wanslim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

WanGeometry shown() {
  return {.dim = 256, .ffn_dim = 512, .heads = 2, .layers = 6, .vace_layers = {0, 3}};
}

std::string config_error(const std::string& json, WanGeometry g = shown()) {
  try {
    apply_config(json, "dir/config.json", g);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(WanConfig, TakesWhatShapesCannotTell) {
  WanGeometry g = shown();
  apply_config(R"({"num_heads": 4, "eps": 1e-5, "text_len": 77, "vace_layers": [1, 4], "license": ["x"]})",
               "c", g);
  EXPECT_EQ(g.heads, 4);
  EXPECT_EQ(g.eps, 1e-5);
  EXPECT_EQ(g.text_len, 77);
  EXPECT_THAT(g.vace_layers, ElementsAre(1, 4));
  g.heads = 2;
  apply_config(R"({"num_attention_heads": 8, "attention_head_dim": 32, "image_dim": null})", "c", g);
  EXPECT_EQ(g.heads, 8);
  const WanGeometry before = g;
  apply_config("{}", "c", g);
  EXPECT_EQ(g, before);
}

TEST(WanConfig, BothTextsOfEveryVariantReadBack) {
  for (const WanVariant& row : wan_variants()) {
    SCOPED_TRACE(row.name);
    WanGeometry g = row.geometry;
    g.heads = 0;
    g.eps = 0;
    apply_config(config_json_text(row.geometry), "c", g);
    EXPECT_EQ(g, row.geometry);
    g.heads = 0;
    g.eps = 0;
    apply_config(diffusers_config_json_text(row.geometry), "c", g);
    EXPECT_EQ(g, row.geometry);
  }
}

TEST(WanConfig, ContradictionsSayBothValuesOfEveryKey) {
  EXPECT_THAT(config_error(R"({"dim": 1536, "num_layers": 30, "ffn_dim": 512})"),
              AllOf(HasSubstr("dir/config.json"), HasSubstr("\"dim\" is 1536, the tensors have 256"),
                    HasSubstr("\"num_layers\" is 30, the tensors have 6")));
  EXPECT_THAT(config_error(R"({"model_type": "i2v"})"),
              HasSubstr("\"model_type\" is \"i2v\", the tensors have the parts of \"vace\""));
  EXPECT_THAT(config_error(R"({"image_dim": 1280})"), HasSubstr("the tensors have no such part"));
  EXPECT_THAT(config_error(R"({"vace_layers": [0]})"), HasSubstr("the tensors have 2 VACE blocks"));
  EXPECT_THAT(config_error(R"({"vace_layers": [0, 6]})"), HasSubstr("the tensors have 6 blocks"));
  EXPECT_THAT(config_error(R"({"num_attention_heads": 12, "attention_head_dim": 128})"),
              HasSubstr("12 x 128, the tensors have a width of 256"));
}

TEST(WanConfig, RefusesMalformedTexts) {
  const struct {
    const char* json;
    const char* says;
  } rows[] = {
      {"", "invalid JSON"},
      {"{", "invalid JSON at line 1"},
      {"[]", "expected a JSON object, got array"},
      {"3", "expected a JSON object, got number"},
      {"{}x", "invalid JSON"},
      {"\xff", "invalid JSON"},
      {R"({"dim": 256, "dim": 256})", "stands twice"},
      {R"({"dim": "256"})", "\"dim\" is \"256\", expected an integer"},
      {R"({"dim": 256.0})", "\"dim\" is 256.0, expected an integer"},
      {R"({"dim": -256})", "\"dim\" is -256"},
      {R"({"num_heads": 0})", "\"num_heads\" is 0"},
      {R"({"num_heads": true})", "\"num_heads\" is true"},
      {R"({"num_layers": [6]})", "\"num_layers\" is [6]"},
      {R"({"text_len": 99999999999999999999})", "\"text_len\" is"},
      {R"({"text_len": 1000000000})", "\"text_len\" is 1000000000"},
      {R"({"eps": 0})", "\"eps\" is 0"},
      {R"({"eps": "1e-6"})", "\"eps\" is"},
      {R"({"eps": 1e999})", "invalid JSON"},
      {R"({"vace_layers": 2})", "\"vace_layers\" is 2, expected a list"},
      {R"({"vace_layers": [3, 0]})", "expected rising block numbers"},
      {R"({"vace_layers": [0, 0]})", "expected rising block numbers"},
      {R"({"vace_layers": [0, -1]})", "expected rising block numbers"},
      {R"({"vace_layers": [0, "3"]})", "expected rising block numbers"},
      {R"({"model_type": 5})", "\"model_type\" is 5, expected a string"},
      {R"({"attention_head_dim": 128})", "without \"num_attention_heads\""},
      {R"({"_class_name": "AutoencoderKLWan"})",
       "\"_class_name\" is \"AutoencoderKLWan\", Wan2.1 transformers have"},
      {R"({"patch_size": [1, 4, 4]})", "\"patch_size\" is [1,4,4], Wan2.1 transformers have [1,2,2]"},
      {R"({"qk_norm": false})", "\"qk_norm\" is false"},
      {R"({"cross_attn_norm": 1})", "\"cross_attn_norm\" is 1"},
  };
  for (const auto& row : rows)
    EXPECT_THAT(config_error(row.json), AllOf(HasSubstr("dir/config.json"), HasSubstr(row.says))) << row.json;
  EXPECT_THAT(config_error(std::string(100, '[')), HasSubstr("nested deeper"));
}

}  // namespace
}  // namespace wanslim
