// SPDX-License-Identifier: Apache-2.0
#include "formats/compressed_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/model_testing.h"

namespace wanslim {
namespace {

using testing::edit;
using ::testing::HasSubstr;
using testing::kW8A8;
using testing::scheme;
using testing::TempDir;

constexpr const char* kName = "compressed-tensors";
constexpr const char* kWeights = "diffusion_pytorch_model.safetensors";
const QuantScheme kW4Groups = scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 32);

Json config_of(const Path& dir) {
  return parse_json(read_text(dir / "config.json", 1 << 20), "config.json").at("quantization_config");
}

TEST(CompressedTensors, IntQuantizedHasCodesAndAScaleAChannel) {
  FormatJob job = testing::wan_job(kW8A8);
  job.layers[10].scheme = {};  // blocks.0.ffn.2
  TempDir dir;
  testing::write_model(kName, dir.path(), job);
  EXPECT_EQ(testing::complaints(kName, dir.path()), "");
  const Checkpoint file = Checkpoint::open(dir / kWeights);
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight")->dtype, DType::kI8);
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight_scale")->shape, (Shape{64, 1}));
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight_shape"), nullptr);
  const Json q = config_of(dir.path());
  EXPECT_EQ(q["quant_method"], "compressed-tensors");
  EXPECT_EQ(q["format"], "int-quantized");
  const Json& group = q["config_groups"]["group_0"];
  EXPECT_EQ(group["targets"], Json::array({"Linear"}));
  EXPECT_EQ(group["weights"]["strategy"], "channel");
  EXPECT_EQ(group["input_activations"]["strategy"], "token");
  EXPECT_EQ(group["input_activations"]["dynamic"], true);
  // Linears in the spellings of diffusers and vllm-omni; norms, which readers by name take for Linears.
  const auto ignored = q["ignore"].get<std::vector<std::string>>();
  EXPECT_THAT(ignored,
              ::testing::IsSupersetOf({"blocks.0.ffn.net.2", "blocks.0.ffn.net_2", "proj_out",
                                       "blocks.0.norm2", "blocks.1.attn1.norm_q", "patch_embedding"}));
  EXPECT_THAT(ignored, ::testing::Not(::testing::Contains("blocks.1.ffn.net.2")));
}

TEST(CompressedTensors, PackQuantizedHasWordsOfEightCodes) {
  TempDir dir;
  testing::write_model(kName, dir.path(), testing::wan_job(kW4Groups));
  EXPECT_EQ(testing::complaints(kName, dir.path()), "");
  const Checkpoint file = Checkpoint::open(dir / kWeights);
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight"), nullptr);
  const StoredTensor& packed = *file.find("blocks.0.attn1.to_q.weight_packed");
  EXPECT_EQ(packed.dtype, DType::kI32);
  EXPECT_EQ(packed.shape, (Shape{64, 8}));
  const Tensor shape = file.load(*file.find("blocks.0.attn1.to_q.weight_shape"));
  EXPECT_THAT(shape.as<int64_t>(), ::testing::ElementsAre(64, 64));
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight_scale")->shape, (Shape{64, 2}));
  const Json q = config_of(dir.path());
  EXPECT_EQ(q["format"], "pack-quantized");
  EXPECT_EQ(q["config_groups"]["group_0"]["weights"]["group_size"], 32);
  EXPECT_TRUE(q["config_groups"]["group_0"]["input_activations"].is_null());
  const FormatJob job = testing::wan_job(kW4Groups);
  const QuantizedLinear written = testing::quantized(job.layers[1], 1);
  const Tensor words = file.load(packed);
  for (size_t i = 0; i < 8; ++i) {
    const uint32_t code = static_cast<uint32_t>(words.as<int32_t>()[0]) >> (4 * i) & 15;
    EXPECT_EQ(static_cast<int>(code) - 8, written.weight.as<int8_t>()[i]);
  }
}

TEST(CompressedTensors, SeveralSchemesNameTheirLayers) {
  FormatJob job = testing::wan_job(kW8A8);
  for (LayerPlan& layer : job.layers) {
    if (layer.block == 1 && layer.quantized()) layer.scheme = kW4Groups;
  }
  TempDir dir;
  testing::write_model(kName, dir.path(), job);
  EXPECT_EQ(testing::complaints(kName, dir.path()), "");
  const Json q = config_of(dir.path());
  EXPECT_EQ(q["format"], "mixed-precision");
  EXPECT_EQ(q["config_groups"]["group_0"]["format"], "int-quantized");
  const auto targets = q["config_groups"]["group_1"]["targets"].get<std::vector<std::string>>();
  EXPECT_THAT(targets, ::testing::IsSupersetOf({"blocks.1.attn1.to_q", "blocks.1.ffn.net.2"}));
  EXPECT_THAT(targets, ::testing::Not(::testing::Contains("Linear")));
  const auto source = find_format(kName).read(dir.path());
  EXPECT_EQ(source->load_quantized("blocks.0.ffn.2")->scheme, kW8A8);
  EXPECT_EQ(source->load_quantized("blocks.1.ffn.2")->scheme, kW4Groups);
}

TEST(CompressedTensors, RefusesWhatVllmWouldNotRun) {
  const auto why = [](const QuantScheme& s) {
    std::string text;
    return find_format(kName).supports(s, &text) ? "supported" : text;
  };
  EXPECT_EQ(why(kW8A8), "supported");
  EXPECT_EQ(why(scheme(Encoding::kFp8E4M3, Granularity::kTensor)), "supported");
  EXPECT_THAT(why(scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt4)), HasSubstr("int4 inputs"));
  EXPECT_THAT(why(scheme(Encoding::kQ4_K, Granularity::kBlock)), HasSubstr("--format gguf"));
  QuantScheme offset = kW8A8;
  offset.symmetric = false;
  EXPECT_THAT(why(offset), HasSubstr("one scale a token"));
  FormatJob job = testing::wan_job(kW8A8);
  job.layers[3].scheme = kW4Groups;  // self_attn.v
  EXPECT_THROW(check_supported(find_format(kName), job), Error);
}

struct Damage {
  const char *what, *file, *from, *to, *complaint;
};

void inflict(const QuantScheme& of_blocks, const Damage& damage) {
  SCOPED_TRACE(damage.what);
  TempDir dir;
  testing::write_model(kName, dir.path(), testing::wan_job(of_blocks));
  if (damage.from) {
    edit(dir / damage.file, damage.from, damage.to);
  } else {
    remove_file(dir / damage.file);
  }
  EXPECT_THAT(testing::complaints(kName, dir.path()), HasSubstr(damage.complaint));
  try {  // whatever verify says, reading ends in values or an Error
    find_format(kName).read(dir.path())->load_quantized("blocks.0.self_attn.q");
  } catch (const Error&) {
  }
}

TEST(CompressedTensors, VerifyNamesEachKindOfDamage) {
  constexpr const char* kConfig = "config.json";
  const Damage damages[] = {
      {"other format", kConfig, "\"format\": \"int-quantized\",\n    \"config_groups\"",
       "\"format\": \"pack-quantized\",\n    \"config_groups\"", "\"format\" is pack-quantized"},
      {"bits", kConfig, "\"num_bits\": 8", "\"num_bits\": 3", "with 3 bits are not read here"},
      {"strategy", kConfig, "\"channel\"", "\"block\"", "strategy \"block\""},
      {"zero points", kConfig, "\"symmetric\": true", "\"symmetric\": false", "zero point"},
      {"pattern", kConfig, "\"proj_out\"", "\"re:proj.*\"", "only names are read here"},
      {"no groups", kConfig, "\"config_groups\"", "\"config_group\"", "config_groups"},
      {"groups are no object", kConfig, "\"config_groups\": {", "\"config_groups\": 3, \"x\": {",
       "no JSON object"},
      {"group size", kConfig, "\"strategy\": \"channel\"", "\"group_size\": 0, \"strategy\": \"group\"",
       "groups of 0"},
      {"float not ignored", kConfig, "\"proj_out\"", "\"proj_in\"", "does not ignore"},
      {"code ignored", kConfig, "\"proj_out\"", "\"blocks.0.attn1.to_q\"", "leaves it"},
      {"no config", kConfig, nullptr, nullptr, "config.json"},
      {"shape of the scale", kWeights, "to_q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[64,1]",
       "to_q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[1,64]", "the loader expects F32 [64, 1]"},
      {"no scale", kWeights, "attn1.to_q.weight_scale", "attn1.to_q.weight_scole", "weight_scale is missing"},
      {"weights gone", kWeights, nullptr, nullptr, "no .safetensors"},
  };
  for (const Damage& damage : damages) inflict(kW8A8, damage);
  const Damage of_packed[] = {
      {"dtype of the words", kWeights, "to_q.weight_packed\":{\"dtype\":\"I32\"",
       "to_q.weight_packed\":{\"dtype\":\"F32\"", "the loader expects I32"},
      {"no shape", kWeights, "to_q.weight_shape", "to_q.weight_shipe", "weight_shape is missing"},
      {"larger groups", kConfig, "\"group_size\": 32", "\"group_size\": 48", "64 inputs in groups of 48"},
      {"other groups", kConfig, "\"group_size\": 32", "\"group_size\": 64", "the loader expects F32 [64, 1]"},
  };
  for (const Damage& damage : of_packed) inflict(kW4Groups, damage);
}

TEST(CompressedTensors, AShapeThatLiesIsAnError) {
  for (const int64_t lie : {int64_t{-1}, int64_t{0}, int64_t{65}, int64_t{1} << 40}) {
    TempDir dir;
    testing::write_model(kName, dir.path(), testing::wan_job(kW4Groups));
    const Checkpoint file = Checkpoint::open(dir / kWeights);
    const StoredTensor& shape = *file.find("blocks.0.attn1.to_q.weight_shape");
    File::open_update(dir / kWeights).write_at(shape.offset + 8, std::as_bytes(std::span(&lie, 1)));
    EXPECT_NE(testing::complaints(kName, dir.path()), "");
    EXPECT_THROW(find_format(kName).read(dir.path())->load_quantized("blocks.0.self_attn.q"), Error);
  }
}

}  // namespace
}  // namespace wanslim
