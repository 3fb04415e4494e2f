// SPDX-License-Identifier: Apache-2.0
// Recipes that must be refused, each with its place and what to do about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "config/recipe_yaml.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Line numbers in the tables count from apiversion = 1.
constexpr std::string_view kGood = R"(apiversion: multimodal_sd_modelslim_v1
metadata:
  config_id: test
  score: 1
spec:
  process:
    - type: linear_quant
      qconfig:
        act: {scope: per_token, dtype: int8, symmetric: True, method: minmax}
        weight:
          scope: per_channel
          dtype: int8
          symmetric: True
          method: minmax
      include: ["*"]
      exclude: ["*ffn.2*"]
  save:
    - type: mindie_format_saver
      part_file_size: 0
  multimodal_sd_config:
    dump_config:
      enable_dump: False
    inference_config:
      prompt: a red circle
      frame_num: 5
)";

struct Row {
  const char* from;  // first occurrence in kGood; empty: `to` is the whole text
  const char* to;
  const char* place;    // "line:column"
  const char* message;  // fragment of the error
};

std::string error_of(std::string_view text) {
  try {
    parse_recipe(text, "r.yaml");
  } catch (const Error& e) {
    EXPECT_EQ(e.parts.kind, Error::Kind::kInput);
    return e.text;
  }
  return "no error";
}

void check(const Row& row) {
  std::string text = row.to;
  if (*row.from != '\0') {
    text = kGood;
    const size_t at = text.find(row.from);
    ASSERT_NE(at, std::string::npos) << row.from;
    text.replace(at, std::string(row.from).size(), row.to);
  }
  const std::string error = error_of(text);
  EXPECT_THAT(error, StartsWith(std::string("r.yaml:") + row.place + ": ")) << row.to;
  EXPECT_THAT(error, HasSubstr(row.message)) << row.to;
}

constexpr Row kSyntax[] = {
    {"", "", "1:1", "the recipe is empty"},
    {"", "# only a comment\n", "1:1", "the recipe is empty"},
    {"", "- a\n- b\n", "1:1", "expected a mapping, got a list"},
    {"", "just text", "1:1", "expected a mapping, got a string (\"just text\")"},
    {"", "a: [1, 2\nb: 3\n", "3:1", "not valid YAML"},
    {"", "a: \"never closed\n", "1:5", "not valid YAML"},
    {"", "a: b\n  c: d\n", "1:4", "not valid YAML"},
    {"", "a:\n\t- b\n", "2:1", "tab"},
    {"", "a: b: c\n", "1:5", "not valid YAML"},
    {"", "a: }\n", "1:4", "not valid YAML"},
    {"", "a: &x b\nc: *y\n", "2:4", "alias \"*y\" names no anchor above it"},
    {"", "exclude: [*ffn.2*]\n", "1:11", "quote the value if it is a pattern"},
    {"", "a: &x [1, *x]\n", "1:11", "lies inside what it names"},
    {"", "a: 1\n---\nb: 2\n", "2:1", "a second YAML document"},
    {"", "a: 1\na: 2\n", "2:1", "key \"a\" stands twice in one mapping, first at line 1"},
    {"", "a: {b: 1, b: 2}\n", "1:11", "key \"b\" stands twice"},
    {"", "x: &x {b: 1}\ny: {<<: *x, b: 2}\n", "2:13", "key \"b\" stands twice"},
    {"", "y: {<<: 5}\n", "1:9", "\"<<\" needs a mapping"},
    {"", "8: a\n", "1:1", "a key must be a string, this is an integer (8)"},
    {"", "True: a\n", "1:1", "a key must be a string, this is a boolean"},
    {"", "? [a, b]\n: c\n", "1:3", "a key must be a string, this is a list"},
    {"", "a: !!python/object:os.system x\n", "1:30", "tag"},
    {"", "a: !!int word\n", "1:10", "does not fit its tag"},
    {"", "a: \"\\ud800\"\n", "1:5", "escape"},
    {"", "a: \"x\\0y\"\n", "1:4", "NUL"},
    {"", "a: b\nc: \x01\n", "2:4", "character U+0001 is not allowed"},
    {"", "a: \xE2\x80\xA8\n", "1:4", "character U+2028"},
    {"", "a: \xFFz\n", "1:4", "byte 0xFF is not UTF-8"},
    {"", "a: \xC3\xA9\xC0\x80\n", "1:5", "byte 0xC0 is not UTF-8"},
    {"", "a:\n  b: |\n\n  c: d\n", "3:1", "the text behind | or > is empty"},
};

constexpr Row kTop[] = {
    {"apiversion: multimodal_sd_modelslim_v1\n", "", "1:1", "\"apiversion\" is missing"},
    {"apiversion:", "apiVersion:", "1:1", "is \"apiVersion\" meant to be it?"},
    {"multimodal_sd_modelslim_v1", "multimodal_sd_modelslim_v2", "1:13",
     "did you mean \"multimodal_sd_modelslim_v1\""},
    {"multimodal_sd_modelslim_v1", "modelslim_v1", "1:13", "protocol for language models"},
    {"multimodal_sd_modelslim_v1", "modelslim_v0", "1:13", "older protocol"},
    {"multimodal_sd_modelslim_v1", "modelslim_convert", "1:13", "use the convert command"},
    {"multimodal_sd_modelslim_v1", "multimodal_vlm_modelslim_v1", "1:13", "vision language"},
    {"multimodal_sd_modelslim_v1", "1.0", "1:13", "expected a string, got a number (1.0)"},
    {"spec:", "specs:", "1:1", "\"spec\" is missing"},
    {"", "apiversion: multimodal_sd_modelslim_v1\nspec: [a]\n", "2:7",
     "task spec must be a mapping, got a list"},
    {"", "apiversion: multimodal_sd_modelslim_v1\nspec: {}\n", "2:7", "\"multimodal_sd_config\" is missing"},
    {"score: 1", "score: -1", "4:10", "not negative"},
    {"score: 1", "score: high", "4:10", "expected a number, got a string (\"high\")"},
    {"score: 1", "score: .inf", "4:10", "expected a number"},
    {"config_id: test", "config_id: 5", "3:14", "expected a string, got an integer (5) (put it in quotes)"},
    {"config_id: test", "label: [a]", "3:10", "metadata.label: expected a mapping"},
    {"config_id: test", "verified_model_types: Wan2_1", "3:25", "expected a list of strings"},
    {"config_id: test", "verified_tags: {Wan: [a]}", "3:25",
     "metadata.verified_tags.Wan[0]: expected a list of strings"},
    {"spec:\n", "spec:\n  runner: layerwise\n", "6:11",
     "unknown runner \"layerwise\" - did you mean \"layer_wise\"?"},
    {"spec:\n", "spec:\n  dataset: 7\n", "6:12", "spec.dataset: expected a string"},
    {"spec:\n", "spec:\n  prior: [{process: 1}]\n", "6:21", "spec.prior[0].process: expected a list"},
};

constexpr Row kProcess[] = {
    {"process:\n    - type", "process:\n    - typo", "7:7", "\"type\" is missing"},
    {"    - type: linear_quant\n", "    - linear_quant\n    - type: linear_quant\n", "7:7",
     "look at the indentation"},
    {"linear_quant", "linear_quants", "7:13",
     "unknown processor \"linear_quants\" - did you mean \"linear_quant\"?"},
    {"linear_quant", "saver", "7:13", "internal to msModelSlim"},
    {"      qconfig:", "      qconfigs:", "8:7", "unknown key \"qconfigs\" - did you mean \"qconfig\"?"},
    {"include: [\"*\"]", "includes: [\"*\"]", "15:7", "unknown key \"includes\" - did you mean \"include\"?"},
    {"include: [\"*\"]", "include: \"*\"", "15:16",
     "expected a list of strings, got a string (\"*\") (write it in brackets"},
    {"include: [\"*\"]", "include: [1]", "15:17", "include[0]: expected a string, got an integer (1)"},
    {"include: [\"*\"]", "include: ~", "15:16", "expected a list of strings, got null"},
    {"include: [\"*\"]", "rank: 3", "15:7", "unknown key \"rank\""},
    {"method: minmax}", "method: minmax, extra: 1}", "9:79", "unknown key \"extra\""},
    {"method: minmax}", "methd: minmax}", "9:63", "unknown key \"methd\" - did you mean \"method\"?"},
    {", method: minmax}", "}", "9:14", "spec.process[0].qconfig.act: method is missing"},
    {"{scope: per_token, dtype: int8, symmetric: True, method: minmax}", "{scope: per_token}", "9:14",
     "dtype, symmetric, method are missing"},
    {"{scope: per_token, dtype: int8, symmetric: True, method: minmax}", "int8", "9:14",
     "expected a mapping"},
    {"scope: per_token", "scope: per_tokens", "9:22",
     "unknown scope \"per_tokens\" - did you mean \"per_token\"?"},
    {"dtype: int8", "dtype: int9", "9:40", "unknown dtype \"int9\" - did you mean \"int8\"?"},
    {"dtype: int8", "dtype: 8", "9:40", "expected a string, got an integer (8)"},
    {"symmetric: True", "symmetric: maybe", "9:57", "expected True or False, got a string (\"maybe\")"},
    {"symmetric: True", "symmetric: 2", "9:57", "expected True or False, got an integer (2)"},
    {"method: minmax}", "method: ssz}", "9:71", "unknown activation method \"ssz\""},
    {"method: minmax\n", "method: histogram\n", "14:19", "unknown weight method \"histogram\""},
    {"method: minmax\n", "method: minmax\n          ext: 5\n", "15:16",
     "expected a mapping, got an integer (5)"},
    {"method: minmax\n", "method: minmax\n          ext: {step: 5}\n", "15:17",
     "\"step\" is no option of method \"minmax\" with scope \"per_channel\" (it belongs to ssz)"},
    {"method: minmax\n", "method: minmax\n          ext: {group_size: 5}\n", "15:17",
     "it belongs to scope per_group"},
    {"method: minmax\n", "method: ssz\n          ext: {stp: 5}\n", "15:17",
     "unknown key \"stp\" - did you mean \"step\"?"},
    {"method: minmax\n", "method: ssz\n          ext: {step: 0}\n", "15:23",
     "expected an integer from 1 to 100000"},
    {"method: minmax\n", "method: ssz\n          ext: {step: True}\n", "15:23", "got a boolean (True)"},
    {"method: minmax\n", "method: ssz\n          ext: {step: 99999999999999999999}\n", "15:23",
     "expected an integer"},
    {"method: minmax\n", "method: ceil_x\n          ext: {ceil_x_value: 5.9}\n", "15:31",
     "a number from 6 to 12"},
    {"method: minmax\n",
     "method: ceil_x\n          ext: {enable_search: True, search_min: 9, search_max: 8}\n", "15:16",
     "search_max (8) must be greater than search_min (9)"},
    {"method: minmax\n", "method: ceil_x\n          ext: {search_step: 0}\n", "15:30", "a number above 0"},
    {"method: minmax\n", "method: minmax\n          ext: {axes: 0}\n", "15:23", "an integer from -1 to -1"},
    {"method: minmax\n", "method: gptq\n          ext: {percdamp: nan}\n", "15:27", "expected a number"},
};

constexpr Row kOthers[] = {
    {"linear_quant", "group", "8:7", "unknown key \"qconfig\""},
    {"    - type: linear_quant\n", "    - {type: svd_res, rank: 0}\n    - type: linear_quant\n", "7:29",
     "rank: expected an integer from 1"},
    {"    - type: linear_quant\n", "    - {type: convrot, group_size: 128}\n    - type: linear_quant\n",
     "7:35", "a power of four, got an integer (128)"},
    {"    - type: linear_quant\n", "    - {type: convrot, group_size: 1}\n    - type: linear_quant\n", "7:35",
     "from 4"},
    {"    - type: linear_quant\n", "    - {type: convrot, rank: 4}\n    - type: linear_quant\n", "7:23",
     "unknown key \"rank\""},
    {"    - type: linear_quant\n", "    - {type: rotate_vo, group_size: 64}\n    - type: linear_quant\n",
     "7:25", "unknown key \"group_size\""},
    {"    - type: linear_quant\n", "    - {type: iter_smooth, alpha: 1}\n    - type: linear_quant\n", "7:34",
     "a number between 0 and 1"},
    {"    - type: linear_quant\n", "    - {type: iter_smooth, alpha: 1e-0}\n    - type: linear_quant\n",
     "7:34", "a number between 0 and 1"},
    {"    - type: linear_quant\n",
     "    - {type: awq, enable_subgraph_type: [ov, vo]}\n    - type: linear_quant\n", "7:46",
     "unknown value \"vo\""},
    {"    - type: linear_quant\n", "    - {type: quarot, block_size: 48}\n    - type: linear_quant\n", "7:34",
     "-1 or a power of two"},
    {"    - type: linear_quant\n", "    - {type: adapt_rotation, stage: 3}\n    - type: linear_quant\n",
     "7:37", "an integer from 1 to 2"},
    {"    - type: linear_quant\n",
     "    - {type: adapt_rotation, stage: 1, online: True}\n    - type: linear_quant\n", "7:40",
     "unknown key \"online\""},
    {"    - type: linear_quant\n",
     "    - {type: adapt_rotation, stage: 1, layer_type: []}\n    - type: linear_quant\n", "7:52",
     "the list is empty"},
    {"    - type: linear_quant\n", "    - {type: flatquant, epochs: 11}\n    - type: linear_quant\n", "7:33",
     "only its default 10"},
    {"    - type: linear_quant\n",
     "    - {type: autoround_quant, strategies: []}\n    - type: linear_quant\n", "7:43",
     "at least one strategy"},
    {"    - type: linear_quant\n",
     "    - {type: fa3_quant, qconfig: {dtype: int8, scope: per_head, symmetric: True, method: minmax}, "
     "details: {fa_q: "
     "{}}}\n    - type: linear_quant\n",
     "7:108", "exclude each other"},
    {"    - type: linear_quant\n",
     "    - {type: group, configs: [{type: groups}]}\n    - type: linear_quant\n", "7:38",
     "spec.process[0].configs[0].type: unknown processor"},
    {"mindie_format_saver", "mindie_saver", "18:13", "unknown saver"},
    {"part_file_size: 0", "part_file_size: -1", "19:23", "an integer from 0"},
    {"part_file_size: 0", "part_file_size: 0.5", "19:23", "an integer from 0"},
    {"part_file_size: 0", "part_size: 0", "19:7",
     "unknown key \"part_size\" (known keys here: type, part_file_size"},
    {"    - type: mindie_format_saver\n", "    type: mindie_format_saver\n", "18:11", "not valid YAML"},
    {"enable_dump: False", "capture_mode: kwargs", "22:21", "unknown capture_mode \"kwargs\""},
    {"    dump_config:\n      enable_dump: False\n", "", "21:5", "\"dump_config\" is missing"},
    {"enable_dump: False", "dump_data_dir: 5", "22:22", "expected a string"},
    {"      prompt: a red circle\n      frame_num: 5\n", "      {}\n", "24:7", "the mapping has no value"},
    {"    inference_config:\n      prompt: a red circle\n      frame_num: 5\n", "", "21:5",
     "\"inference_config\" is missing"},
    {"    inference_config:\n", "    model_config: {prompt: b}\n    inference_config:\n", "23:19",
     "exclude each other"},
    {"prompt: a red circle", "promt: a red circle", "24:7",
     "unknown key \"promt\" - did you mean \"prompt\"?"},
    {"prompt: a red circle", "prompt: \"  \"", "24:15", "the prompt is blank"},
    {"prompt: a red circle", "prompt: 5", "24:15", "expected a string, got an integer (5)"},
    {"frame_num: 5", "frame_num: 0", "25:18", "an integer from 1"},
    {"frame_num: 5", "frame_num: five", "25:18", "got a string (\"five\")"},
    {"frame_num: 5", "offload_model: often", "25:22", "expected True or False"},
    {"frame_num: 5", "task: t2v-14b", "25:13", "did you mean \"t2v-14B\"?"},
    {"frame_num: 5", "{task: t2v-1.3B}", "25:7", "not valid YAML"},
    {"frame_num: 5", "task: t2v-1.3B\n      size: 1280*720", "26:13",
     "unknown size for task t2v-1.3B \"1280*720\""},
    {"frame_num: 5", "size: 16:9", "25:13", "expected a string, got an integer (16:9)"},
    {"frame_num: 5", "sample_solver: euler", "25:22", "unknown value \"euler\""},
    {"frame_num: 5", "ulysses_size: 2", "25:21", "an integer from 1 to 1"},
};

TEST(Malformed, TheGoodRecipeIsGood) {
  EXPECT_EQ(error_of(kGood), "no error");
}

TEST(Malformed, Syntax) {
  for (const Row& row : kSyntax) check(row);
}

TEST(Malformed, TopLevel) {
  for (const Row& row : kTop) check(row);
}

TEST(Malformed, LinearQuant) {
  for (const Row& row : kProcess) check(row);
}

TEST(Malformed, OtherProcessorsSaversInference) {
  for (const Row& row : kOthers) check(row);
}

TEST(Malformed, BombsAndDepthsEndAtOnce) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += "*a" + std::to_string(i - 1) + ",";
    bomb += "]\n";
  }
  EXPECT_THAT(error_of(bomb), HasSubstr("too large once its aliases are expanded"));
  std::string fat = "a: &a \"" + std::string(500000, 'x') + "\"\nb: [";
  for (int k = 0; k < 1000; ++k) fat += "*a,";
  EXPECT_THAT(error_of(fat + "]\n"), HasSubstr("too large once its aliases are expanded"));
  EXPECT_THAT(error_of(std::string(100000, '[')), HasSubstr("r.yaml:1:65: nested deeper than 64 levels"));
  std::string nested;
  for (int i = 0; i < 100; ++i) nested += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(error_of(nested), HasSubstr("nested deeper than 64 levels"));
  std::string chain = "a0: &a0 [1]\n";
  for (int i = 1; i < 100; ++i) {
    chain += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_THAT(error_of(chain), HasSubstr("nested deeper than 64 levels through an alias"));
  EXPECT_THAT(error_of(std::string((1 << 20) + 1, ' ')), HasSubstr("at most 1048576 are read"));
  EXPECT_THAT(error_of(std::string("a: b\0c", 6)), HasSubstr("r.yaml:1:5: character U+0000 is not allowed"));
}

TEST(Malformed, Files) {
  const std::string dir = testing::TempDir();
  EXPECT_THROW(load_recipe(dir), Error);
  EXPECT_THROW(load_recipe(dir + "/no_such_recipe.yaml"), Error);
  const std::string pipe = dir + "/recipe_pipe_" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(load_recipe(pipe), Error);  // does not wait for a writer
  ::unlink(pipe.c_str());
  const std::string big = dir + "/recipe_big_" + std::to_string(::getpid());
  std::ofstream(big) << std::string((1 << 20) + 1, ' ');
  EXPECT_THROW(load_recipe(big), Error);
  ::unlink(big.c_str());
}

}  // namespace
}  // namespace wanslim
