// SPDX-License-Identifier: Apache-2.0
#include "formats/vllm_omni.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/model_testing.h"
#include "formats/vllm.h"

namespace wanslim {
namespace {

using testing::edit;
using ::testing::HasSubstr;
using testing::kW8A8;
using testing::TempDir;

constexpr const char* kWeights = "diffusion_pytorch_model.safetensors";

// ffn.2 of both blocks stays float.
FormatJob job_with_float() {
  FormatJob job = testing::wan_job(kW8A8);
  for (LayerPlan& layer : job.layers) {
    if (layer.name.ends_with("ffn.2")) layer.scheme = {};
  }
  return job;
}

TEST(VllmOmni, TensorsHaveDiffusersNames) {
  TempDir dir;
  testing::write_model("vllm-omni", dir.path(), job_with_float());
  EXPECT_EQ(testing::complaints("vllm-omni", dir.path()), "");
  const Checkpoint file = Checkpoint::open(dir / kWeights);
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight")->dtype, DType::kI8);
  EXPECT_EQ(file.find("blocks.0.attn1.to_q.weight_scale")->shape, (Shape{64, 1}));
  EXPECT_EQ(file.find("blocks.1.attn2.to_out.0.bias")->dtype, DType::kBF16);
  EXPECT_EQ(file.find("blocks.1.ffn.net.0.proj.weight")->dtype, DType::kI8);
  EXPECT_EQ(file.find("blocks.1.ffn.net.2.weight")->dtype, DType::kBF16);
  EXPECT_EQ(file.find("blocks.1.norm2.weight")->dtype, DType::kF32);
  EXPECT_EQ(file.find("scale_shift_table")->dtype, DType::kF32);
  EXPECT_EQ(file.find("condition_embedder.time_embedder.linear_1.weight")->dtype, DType::kF32);
  EXPECT_EQ(file.find("proj_out.weight")->dtype, DType::kBF16);
  EXPECT_EQ(file.find("blocks.0.ffn.2.weight"), nullptr);
}

// vllm-omni compares with the names of its own modules; other readers with those of diffusers.
TEST(VllmOmni, ConfigNamesWhatStaysFloatInBothSpellings) {
  TempDir dir;
  testing::write_model("vllm-omni", dir.path(), job_with_float());
  const Json config = parse_json(read_text(dir / "config.json", 1 << 20), "config.json");
  EXPECT_EQ(config["_class_name"], "WanTransformer3DModel");
  EXPECT_EQ(config["num_layers"], 2);
  const Json& q = config["quantization_config"];
  EXPECT_EQ(q["quant_method"], "int8");
  EXPECT_EQ(q["is_checkpoint_int8_serialized"], true);
  EXPECT_EQ(q["activation_scheme"], "dynamic");
  const auto ignored = q["ignored_layers"].get<std::vector<std::string>>();
  EXPECT_THAT(ignored, ::testing::IsSupersetOf({"blocks.0.ffn.net.2", "blocks.0.ffn.net_2", "proj_out",
                                                "condition_embedder.time_proj"}));
  EXPECT_THAT(ignored, ::testing::Not(::testing::Contains("blocks.0.attn1.to_q")));
  EXPECT_EQ(vllm_omni_module("blocks.3.attn2.to_out.0"), "blocks.3.attn2.to_out");
  EXPECT_EQ(vllm_omni_module("blocks.3.ffn.net.0.proj"), "blocks.3.ffn.net_0.proj");
}

TEST(VllmOmni, ShardsHaveAnIndex) {
  FormatJob job = testing::wan_job(kW8A8);
  job.shard_bytes = 40000;
  TempDir dir;
  testing::write_model("vllm-omni", dir.path(), job);
  EXPECT_EQ(testing::complaints("vllm-omni", dir.path()), "");
  const Json index =
      parse_json(read_text(dir / "diffusion_pytorch_model.safetensors.index.json", 1 << 20), "index");
  EXPECT_THAT(index["weight_map"]["blocks.0.attn1.to_q.weight_scale"].get<std::string>(),
              HasSubstr("diffusion_pytorch_model-00001-of-"));
  EXPECT_TRUE(find_format("vllm-omni").read(dir.path())->load_quantized("blocks.1.ffn.2").has_value());
}

TEST(VllmOmni, RefusesWhatItWouldMisread) {
  const auto refusal = [](const FormatJob& job) {
    try {
      check_supported(find_format("vllm-omni"), job);
    } catch (const Error& e) {
      return e.text;
    }
    return std::string("nothing");
  };
  FormatJob job = testing::wan_job(kW8A8);
  EXPECT_EQ(refusal(job), "nothing");
  job.layers[2].scheme = {};  // self_attn.k
  EXPECT_THAT(refusal(job), HasSubstr("blocks.0.self_attn.k: vllm-omni runs self_attn.q, .k and .v as one"));
  job = testing::wan_job(kW8A8);
  job.layers[job.layers.size() - 2].scheme = kW8A8;  // head.head
  EXPECT_THAT(refusal(job), HasSubstr("runs this layer in float"));
  job = testing::wan_job(testing::scheme(Encoding::kInt8, Granularity::kChannel));
  EXPECT_THAT(refusal(job), HasSubstr("quantizes the inputs too"));
}

struct Damage {
  const char *what, *file, *from, *to, *complaint;
};

TEST(VllmOmni, VerifyNamesEachKindOfDamage) {
  constexpr const char* kConfig = "config.json";
  const Damage damages[] = {
      {"float that the config does not name", kConfig, "blocks.0.ffn.net_2", "blocks.0.ffn.net_3",
       "blocks.0.ffn.net.2 is float, and \"ignored_layers\" does not name blocks.0.ffn.net_2"},
      {"int8 that the config names", kConfig, "\"proj_out\"", "\"blocks.0.attn1.to_v\"",
       "blocks.0.attn1.to_v is int8"},
      {"another method", kConfig, "\"int8\"", "\"fp8\"", "is not int8"},
      {"static inputs", kConfig, "dynamic", "static", "is not dynamic"},
      {"no list", kConfig, "\"ignored_layers\": [", "\"ignored_layers\": 3, \"x\": [", "no list of names"},
      {"list of numbers", kConfig, "\"proj_out\"", "7", "no list of names"},
      {"no config", kConfig, nullptr, nullptr, "config.json"},
      {"broken config", kConfig, "{", "[", "config.json"},
      {"other depth", kConfig, "\"num_layers\": 2", "\"num_layers\": 3", "says 3 blocks, the file has 2"},
      {"other heads", kConfig, "\"num_attention_heads\": 1", "\"num_attention_heads\": 2", "2 heads of 64"},
      {"dtype", kWeights, "to_q.weight\":{\"dtype\":\"I8\"", "to_q.weight\":{\"dtype\":\"U8\"", "is float"},
      {"shape of the scale", kWeights, "to_q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[64,1]",
       "to_q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[1,64]", "the loader expects F32 [64, 1]"},
      {"no scale", kWeights, "attn1.to_q.weight_scale", "attn1.to_q.weight_scole", "weight_scale is missing"},
      {"no module", kWeights, "blocks.1.norm2.bias", "blocks.1.nurm2.bias", "is no tensor of a Wan"},
      {"no norm", kWeights, "blocks.1.norm2.bias", "blocks.1.nurm2.bias", "blocks.1.norm3.bias is missing"},
      {"weights gone", kWeights, nullptr, nullptr, "no .safetensors"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    TempDir dir;
    testing::write_model("vllm-omni", dir.path(), job_with_float());
    if (damage.from) {
      edit(dir / damage.file, damage.from, damage.to);
    } else {
      remove_file(dir / damage.file);
    }
    EXPECT_THAT(testing::complaints("vllm-omni", dir.path()), HasSubstr(damage.complaint));
    try {  // whatever verify says, reading ends in values or an Error
      find_format("vllm-omni").read(dir.path())->load_quantized("blocks.0.self_attn.q");
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace wanslim
