// SPDX-License-Identifier: Apache-2.0
#include "formats/ascendv1.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/model_testing.h"

namespace wanslim {
namespace {

using testing::edit;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::scheme;
using testing::TempDir;

constexpr const char* kDescription = "quant_model_description.json";

FormatJob small_job(QuantScheme of_q) {
  FormatJob job;
  job.layers = {testing::parameter("blocks.0.modulation", {1, 6, 4}, 0),
                testing::linear("blocks.0.self_attn.q", {4, 64}, of_q),
                testing::linear("head.head", {4, 4}, {}, -1)};
  return job;
}

std::string description_of(const FormatJob& job) {
  TempDir dir;
  testing::write_model("ascendv1", dir.path(), job);
  EXPECT_EQ(testing::complaints("ascendv1", dir.path()), "");
  return read_text(dir / kDescription, 10000);
}

TEST(AscendV1, WritesTheDescriptionOfTheReference) {
  EXPECT_EQ(description_of(small_job(scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 32))),
            "{\n"
            "    \"blocks.0.modulation\": \"FLOAT\",\n"
            "    \"blocks.0.self_attn.q.weight\": \"W4A16\",\n"
            "    \"blocks.0.self_attn.q.weight_scale\": \"W4A16\",\n"
            "    \"blocks.0.self_attn.q.weight_offset\": \"W4A16\",\n"
            "    \"blocks.0.self_attn.q.bias\": \"FLOAT\",\n"
            "    \"head.head.weight\": \"FLOAT\",\n"
            "    \"head.head.bias\": \"FLOAT\",\n"
            "    \"version\": \"1.0.0\",\n"
            "    \"model_quant_type\": \"W4A16\",\n"
            "    \"metadata\": {},\n"
            "    \"group_size\": 32,\n"
            "    \"optional\": {}\n"
            "}");
}

TEST(AscendV1, TheTypeOfTheModelIsTheLowest) {
  FormatJob job = small_job(scheme(Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, 32));
  job.layers.push_back(testing::linear("blocks.0.ffn.0", {4, 64},
                                       scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, 32)));
  EXPECT_THAT(description_of(job), HasSubstr("\"model_quant_type\": \"W4A4_MXFP4\""));
  // The reference leaves W4A8_DYNAMIC out of its list.
  job = small_job(scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt8));
  EXPECT_THAT(description_of(job), HasSubstr("\"model_quant_type\": \"W4A8_DYNAMIC\""));
  job.numerics = Numerics::kCompat;
  EXPECT_THAT(description_of(job), HasSubstr("\"model_quant_type\": \"FLOAT\""));
}

TEST(AscendV1, ScaleBiasIsEightTimesTheRowSumsOfTheWeight) {
  const FormatJob job = small_job(scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt8));
  TempDir dir;
  testing::write_model("ascendv1", dir.path(), job);
  const Checkpoint file = Checkpoint::open(dir.path());
  const QuantizedLinear q = testing::quantized(job.layers[1], 1);
  double sum = 0;
  for (size_t c = 0; c < 64; ++c) sum += q.weight.as<int8_t>()[64 + c];
  const Tensor bias = file.load(*file.find("blocks.0.self_attn.q.scale_bias"));
  ASSERT_EQ(bias.shape(), (Shape{4, 1}));
  EXPECT_FLOAT_EQ(bias.as<float>()[1],
                  static_cast<float>(8 * sum * static_cast<double>(q.scale.as<float>()[1])));
  EXPECT_EQ(file.find("blocks.0.self_attn.q.weight")->shape, (Shape{2, 64}));
}

TEST(AscendV1, SplitsTheWeightsAsTheReferenceDoes) {
  FormatJob job = testing::wan_job(testing::kW8A8);
  job.shard_bytes = 20000;
  TempDir dir;
  testing::write_model("ascendv1", dir.path(), job);
  EXPECT_EQ(testing::complaints("ascendv1", dir.path()), "");
  const Json index =
      parse_json(read_text(dir / "quant_model_weights.safetensors.index.json", 1 << 20), "index");
  std::map<std::string, uint64_t> bytes;
  const Checkpoint file = Checkpoint::open(dir.path());
  uint64_t total = 0;
  for (const StoredTensor& t : file.tensors()) {
    bytes[index["weight_map"][t.name].get<std::string>()] += t.bytes;
    total += t.bytes;
  }
  EXPECT_EQ(index["metadata"]["total_size"], total);
  EXPECT_EQ((*index["weight_map"].items().begin()).key, "blocks.0.modulation");  // order of the description
  ASSERT_GT(bytes.size(), 2u);
  for (const auto& [name, size] : bytes) EXPECT_LT(size, 20000u) << name;
  EXPECT_TRUE(
      bytes.count("quant_model_weights-00001-of-0000" + std::to_string(bytes.size()) + ".safetensors"));
  EXPECT_TRUE(read_ascendv1(dir.path())->load_quantized("blocks.1.ffn.2").has_value());
}

TEST(AscendV1, HoldsALowRankBranch) {
  FormatJob job = small_job(testing::kW8A8);
  job.layers[1].low_rank = 2;
  TempDir dir;
  testing::write_job("ascendv1", dir.path(), job,
                     [&](const LayerPlan& layer, std::span<const OutTensor> tensors) {
                       LayerValue value;
                       if (layer.quantized()) {
                         value.quantized = testing::quantized(layer, 3);
                         value.quantized.lora_down = testing::pattern(DType::kBF16, {2, 64}, 1);
                         value.quantized.lora_up = testing::pattern(DType::kBF16, {4, 2}, 2);
                       } else {
                         for (const OutTensor& t : tensors)
                           value.values.push_back(testing::pattern(t.dtype, t.shape, 4));
                       }
                       return value;
                     });
  EXPECT_EQ(testing::complaints("ascendv1", dir.path()), "");
  const auto q = read_ascendv1(dir.path())->load_quantized("blocks.0.self_attn.q");
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->lora_down.shape(), (Shape{2, 64}));
  EXPECT_EQ(q->lora_up.shape(), (Shape{4, 2}));
  EXPECT_EQ(q->scheme, testing::kW8A8);
  const std::string text = read_text(dir / kDescription, 1 << 20);
  EXPECT_THAT(text, HasSubstr("q.svd_lowrank_l1\": \"FLOAT\""));
  EXPECT_THAT(text, HasSubstr("q.weight_scale\": \"W8A8_SVD_DYNAMIC\""));
  EXPECT_THAT(text, HasSubstr("\"model_quant_type\": \"W8A8_DYNAMIC\""));
  edit(dir / "quant_model_weights.safetensors", "\"shape\":[2,64]", "\"shape\":[4,32]");
  EXPECT_THAT(testing::complaints("ascendv1", dir.path()), HasSubstr("svd_lowrank_l1 is BF16 [4, 32]"));
  EXPECT_THROW(read_ascendv1(dir.path())->load_quantized("blocks.0.self_attn.q"), Error);
  for (const char* name : {"comfyui", "gguf", "mindie"})
    EXPECT_THROW(check_supported(find_format(name), job), Error) << name;
  job.numerics = Numerics::kCompat;
  EXPECT_NO_THROW(check_supported(find_format("mindie"), job));
}

TEST(AscendV1, VerifyNamesEachKindOfDamage) {
  struct Damage {
    const char* what;
    void (*inflict)(const Path& dir);
    const char* complaint;
  };
  static const char kWeights[] = "quant_model_weights.safetensors";
  const Damage damages[] = {
      {"version", [](const Path& d) { edit(d / kDescription, "1.0.0", "2.0.0"); }, "\"version\""},
      {"no object", [](const Path& d) { edit(d / kDescription, "\"metadata\": {}", "\"metadata\": 1"); },
       "\"metadata\""},
      {"unknown type of the model",
       [](const Path& d) { edit(d / kDescription, "quant_type\": \"W4A16", "quant_type\": \"W4A17"); },
       "\"model_quant_type\""},
      {"unknown type",
       [](const Path& d) { edit(d / kDescription, "q.weight\": \"W4A16", "q.weight\": \"w4a16"); },
       "no type of AscendV1"},
      {"other type",
       [](const Path& d) { edit(d / kDescription, "q.weight\": \"W4A16", "q.weight\": \"W8A16"); },
       "weight_scale"},
      {"group size", [](const Path& d) { edit(d / kDescription, "group_size\": 32", "group_size\": 64"); },
       "has groups of 32"},
      {"tensor too many",
       [](const Path& d) { edit(d / kDescription, "{\n", "{\n \"x.weight\": \"FLOAT\",\n"); },
       "x.weight is in the description and not in the file"},
      {"tensor not described",
       [](const Path& d) { edit(d / kDescription, "    \"head.head.bias\": \"FLOAT\",\n", ""); },
       "head.head.bias is in the file and not in the description"},
      {"weights gone", [](const Path& d) { remove_file(d / kWeights); }, "no .safetensors"},
      {"shape of a scale",
       [](const Path& d) {
         edit(d / kWeights, "weight_scale\":{\"dtype\":\"F32\",\"shape\":[4,2]",
              "weight_scale\":{\"dtype\":\"F32\",\"shape\":[8,1]");
       },
       "weight_scale is F32 [8, 1]"},
      {"dtype of the codes",
       [](const Path& d) {
         edit(d / kWeights, "q.weight\":{\"dtype\":\"I8\"", "q.weight\":{\"dtype\":\"U8\"");
       },
       "the loader expects I8"},
      {"nothing is quantized",
       [](const Path& d) { edit(d / kDescription, "q.weight\": \"W4A16", "q.weight\": \"FLOAT"); },
       "no quantized layer"},
      {"description that is no object", [](const Path& d) { testing::write_text(d / kDescription, "[]"); },
       "no JSON object"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    TempDir dir;
    testing::write_model("ascendv1", dir.path(),
                         small_job(scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 32)));
    damage.inflict(dir.path());
    EXPECT_THAT(testing::complaints("ascendv1", dir.path()), HasSubstr(damage.complaint));
    try {  // whatever verify says, reading ends in a value or an Error
      read_ascendv1(dir.path())->load_quantized("blocks.0.self_attn.q");
    } catch (const Error&) {
    }
  }
}

TEST(AscendV1, RefusesWhatItHasNoTypeFor) {
  std::string why;
  EXPECT_FALSE(find_format("ascendv1")
                   .supports(scheme(Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, 16), &why));
  EXPECT_THAT(why, HasSubstr("no type"));
  FormatJob job = small_job(scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt8));
  job.layers[1].shape = {3, 64};
  EXPECT_THROW(check_supported(find_format("ascendv1"), job), Error);
  job = testing::wan_job(scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 32));
  EXPECT_NO_THROW(check_supported(find_format("ascendv1"), job));
  job.layers[2].scheme.group = 64;  // the description has one group_size for all
  EXPECT_THROW(check_supported(find_format("ascendv1"), job), Error);
}

}  // namespace
}  // namespace wanslim
