// SPDX-License-Identifier: Apache-2.0
// LightX2V's own format, and the one file that it shares with ComfyUI and stable-diffusion.cpp.
#include "formats/lightx2v.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/model_testing.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using testing::edit;
using ::testing::HasSubstr;
using testing::scheme;
using testing::TempDir;

const QuantScheme kFp8 = scheme(Encoding::kFp8E4M3, Granularity::kChannel, Encoding::kFp8E4M3);
constexpr const char* kSingle = "wan2.1-custom-lightx2v-int8.safetensors";
constexpr const char* kUniversal = "wan2.1-custom-universal-int8.safetensors";

FormatJob with_vace(const QuantScheme& of_blocks) {
  FormatJob job = testing::wan_job(of_blocks);
  const FormatJob block = testing::wan_job(of_blocks, 1);
  for (const LayerPlan& layer : block.layers) {
    if (layer.block < 0) continue;
    job.layers.push_back(layer);
    job.layers.back().name = "vace_" + layer.name;
    job.layers.back().block = 2;
  }
  job.layers.push_back(testing::linear("vace_blocks.0.before_proj", {64, 64}, {}, 2));
  job.layers.push_back(testing::linear("vace_blocks.0.after_proj", {64, 64}, {}, 2));
  return job;
}

TEST(LightX2v, OneFileAndAConfigThatNamesIt) {
  TempDir dir;
  testing::write_model("lightx2v", dir.path(), testing::wan_job(testing::kW8A8));
  EXPECT_EQ(testing::complaints("lightx2v", dir.path()), "");
  EXPECT_EQ(read_text(dir / "lightx2v_config.json", 1000),
            "{\n"
            "    \"dit_quantized\": true,\n"
            "    \"dit_quant_scheme\": \"int8-vllm\",\n"
            "    \"dit_quantized_ckpt\": \"wan2.1-custom-lightx2v-int8.safetensors\"\n"
            "}\n");
  const Checkpoint file = Checkpoint::open(dir / kSingle);
  EXPECT_EQ(file.find("blocks.0.ffn.2.weight")->dtype, DType::kI8);
  EXPECT_EQ(file.find("blocks.0.ffn.2.weight_scale")->shape, (Shape{64, 1}));
  EXPECT_EQ(file.find("blocks.0.ffn.2.bias")->dtype, DType::kBF16);
  // What the loader may keep in F32 stays so.
  EXPECT_EQ(file.find("blocks.0.modulation")->dtype, DType::kF32);
  EXPECT_EQ(file.find("text_embedding.0.bias")->dtype, DType::kF32);
  EXPECT_EQ(file.find("head.head.weight")->dtype, DType::kBF16);
  const Tensor bias = file.load(*file.find("blocks.0.ffn.2.bias"));
  EXPECT_EQ(bf16_to_float(bias.as<uint16_t>()[3]), 2.5f);
}

TEST(LightX2v, OneFileForEachBlock) {
  FormatJob job = with_vace(kFp8);
  job.options = {{"layout", "blocks"}, {"kernel", "sgl"}};
  EXPECT_NO_THROW(check_supported(find_format("lightx2v"), job));
  TempDir dir;
  testing::write_model("lightx2v", dir.path(), job);
  EXPECT_EQ(testing::complaints("lightx2v", dir.path()), "");
  EXPECT_THAT(read_text(dir / "lightx2v_config.json", 1000), HasSubstr("\"fp8-sgl\""));
  EXPECT_NE(Checkpoint::open(dir / "block_1.safetensors").find("blocks.1.self_attn.q.weight"), nullptr);
  EXPECT_EQ(Checkpoint::open(dir / "block_1.safetensors").find("vace_blocks.0.ffn.0.weight"), nullptr);
  EXPECT_NE(Checkpoint::open(dir / "block_0.safetensors").find("vace_blocks.0.ffn.0.weight"), nullptr);
  const Checkpoint rest = Checkpoint::open(dir / "non_block.safetensors");
  EXPECT_EQ(rest.find("time_embedding.0.weight")->dtype, DType::kBF16);
  EXPECT_TRUE(read_lightx2v(dir.path())->load_quantized("vace_blocks.0.ffn.0").has_value());
  EXPECT_FALSE(read_lightx2v(dir.path())->load_quantized("vace_blocks.0.after_proj").has_value());
}

TEST(LightX2v, RefusesWhatItCannotRun) {
  const auto refusal = [](const FormatJob& job, const char* format) {
    try {
      check_supported(find_format(format), job);
    } catch (const Error& e) {
      return e.text;
    }
    return std::string("nothing");
  };
  for (const char* format : {"lightx2v", "universal-int8"}) {
    FormatJob job = testing::wan_job(testing::kW8A8);
    job.layers[10].scheme = {};
    EXPECT_THAT(refusal(job, format), HasSubstr("blocks.0.ffn.2: LightX2V wants every Linear"));
    job = testing::wan_job(testing::kW8A8);
    job.layers[job.layers.size() - 2].scheme = testing::kW8A8;  // head.head
    EXPECT_THAT(refusal(job, format), HasSubstr("runs this layer in float"));
    job = with_vace(testing::kW8A8);
    EXPECT_EQ(refusal(job, format), "nothing");
    job.layers.back().scheme = testing::kW8A8;
    EXPECT_THAT(refusal(job, format), HasSubstr("runs this layer in float"));
  }
  FormatJob job = testing::wan_job(testing::kW8A8);
  job.layers[1].scheme = kFp8;
  EXPECT_THAT(refusal(job, "lightx2v"), HasSubstr("one scheme for all"));
  job = testing::wan_job(kFp8);
  job.options["kernel"] = "npu";
  EXPECT_THAT(refusal(job, "lightx2v"), HasSubstr("no NPU"));
  const auto why = [](QuantScheme s) {
    std::string text;
    return find_format("lightx2v").supports(s, &text) ? "supported" : text;
  };
  EXPECT_THAT(why(scheme(Encoding::kInt8, Granularity::kChannel)), HasSubstr("quantizes the inputs"));
  EXPECT_THAT(why(scheme(Encoding::kFp8E4M3, Granularity::kTensor, Encoding::kFp8E4M3)),
              HasSubstr("calibration"));
  EXPECT_THAT(why(scheme(Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, 16)),
              HasSubstr("calibration"));
  EXPECT_THAT(why(scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, 32)),
              HasSubstr("kernel's own"));
}

struct Damage {
  const char *what, *file, *from, *to, *complaint;
};

void inflict(const char* format, const FormatJob& job, const Damage& damage) {
  SCOPED_TRACE(damage.what);
  TempDir dir;
  testing::write_model(format, dir.path(), job);
  if (damage.from) {
    edit(dir / damage.file, damage.from, damage.to);
  } else {
    remove_file(dir / damage.file);
  }
  EXPECT_THAT(testing::complaints(format, dir.path()), HasSubstr(damage.complaint));
  try {  // whatever verify says, reading ends in values or an Error
    find_format(format).read(dir.path())->load_quantized("blocks.0.self_attn.q");
  } catch (const Error&) {
  }
}

TEST(LightX2v, VerifyNamesEachKindOfDamage) {
  constexpr const char* kConfig = "lightx2v_config.json";
  const Damage damages[] = {
      {"other scheme", kConfig, "int8-vllm", "fp8-vllm", "the loader expects F8_E4M3"},
      {"scheme that is none", kConfig, "int8-vllm", "int8-none", "does not run these weights"},
      {"not quantized", kConfig, "true", "false", "is not true"},
      {"no such file", kConfig, "lightx2v-int8", "lightx2v-int9", "which is not there"},
      {"no key", kConfig, "dit_quant_scheme", "dit_quant_schema", "dit_quant_scheme"},
      {"float Linear", kSingle, "q.weight\":{\"dtype\":\"I8\",\"shape\":[64,64]",
       "q.weight\":{\"dtype\":\"U8\",\"shape\":[64,64]", "is float"},
      {"shape of the scale", kSingle, "q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[64,1]",
       "q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[1,64]", "the loader expects F32 [64, 1]"},
      {"no scale", kSingle, "self_attn.q.weight_scale", "self_attn.q.weight_scole",
       "weight_scale is missing"},
      {"no norm", kSingle, "blocks.1.norm3.bias", "blocks.1.norm3.boss", "blocks.1.norm3.bias is missing"},
      {"weights gone", kSingle, nullptr, nullptr, "no .safetensors"},
  };
  for (const Damage& damage : damages) inflict("lightx2v", testing::wan_job(testing::kW8A8), damage);
  FormatJob blocks = testing::wan_job(testing::kW8A8);
  blocks.options["layout"] = "blocks";
  const Damage of_blocks[] = {
      {"in another file", "block_1.safetensors", "blocks.1.ffn.0.bias", "blocks.0.ffn.0.boss",
       "lazy loading looks in block_0.safetensors"},
      {"block gone", "block_1.safetensors", nullptr, nullptr, "is missing"},
      {"rest gone", "non_block.safetensors", nullptr, nullptr, "head.modulation is missing"},
  };
  for (const Damage& damage : of_blocks) inflict("lightx2v", blocks, damage);
}

TEST(LightX2v, ScalesThatTheLoaderWouldRoundAreFound) {
  for (const auto& [format, name] :
       {std::pair{"lightx2v", kSingle}, std::pair{"universal-int8", kUniversal}}) {
    TempDir dir;
    testing::write_model(format, dir.path(), testing::wan_job(testing::kW8A8));
    const Checkpoint file = Checkpoint::open(dir / name);
    const StoredTensor& scale = *file.find("blocks.0.self_attn.q.weight_scale");
    const float value = 0.3f;
    File::open_update(dir / name).write_at(scale.offset + 8, std::as_bytes(std::span(&value, 1)));
    EXPECT_THAT(testing::complaints(format, dir.path()), HasSubstr("weight_scale[2] is 0.3, no bf16 value"));
  }
}

TEST(UniversalInt8, IsAFileOfComfyUiToo) {
  TempDir dir;
  testing::write_model("universal-int8", dir.path(), with_vace(testing::kW8A8));
  EXPECT_EQ(testing::complaints("universal-int8", dir.path()), "");
  EXPECT_EQ(testing::complaints("comfyui", dir.path()), "");
  EXPECT_EQ(recognize_format(dir / kUniversal).name, "universal-int8");
  const Checkpoint file = Checkpoint::open(dir / kUniversal);
  EXPECT_EQ(file.find("blocks.0.ffn.2.bias")->dtype, DType::kBF16);
  EXPECT_NE(file.find("blocks.0.ffn.2.comfy_quant"), nullptr);
  EXPECT_EQ(file.metadata().at("layout"), "universal-int8");
}

TEST(UniversalInt8, VerifyNamesEachKindOfDamage) {
  const Damage damages[] = {
      {"another format", kUniversal, R"({"format": "int8_tensorwise"})", R"({"format": "int8_blockwise_"})",
       "is not plain int8"},
      {"float Linear", kUniversal, "self_attn.q.comfy_quant", "self_attn.q.comfy_quont", "is float"},
      {"shape of the scale", kUniversal, "q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[64,1]",
       "q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[8,8] ", "expects F32 [64, 1]"},
      {"no norm", kUniversal, "blocks.1.norm3.bias", "blocks.1.norm3.boss", "blocks.1.norm3.bias is missing"},
  };
  for (const Damage& damage : damages) inflict("universal-int8", testing::wan_job(testing::kW8A8), damage);
}

}  // namespace
}  // namespace wanslim
