// SPDX-License-Identifier: Apache-2.0
#include "formats/comfyui.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/model_testing.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

using testing::edit;
using ::testing::HasSubstr;
using testing::scheme;
using testing::TempDir;

constexpr const char* kQ = "blocks.0.self_attn.q";
const QuantScheme kFp8 = scheme(Encoding::kFp8E4M3, Granularity::kTensor);

Path file_in(const TempDir& dir) {
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (entry.path().extension() == ".safetensors") return entry.path();
  }
  return {};
}

std::string text_of(const Checkpoint& file, const std::string& name) {
  const Tensor t = file.load(*file.find(name));
  return {reinterpret_cast<const char*>(t.raw().data()), t.bytes()};
}

TEST(ComfyUi, NamesDtypesShapesAndMarksOfEachFormat) {
  struct Row {
    QuantScheme scheme;
    const char *file, *mark;
    DType scale;
    Shape shape;
  };
  const Row rows[] = {
      {testing::kW8A8,
       "wan2.1-custom-int8_tensorwise.safetensors",
       R"({"format": "int8_tensorwise"})",
       DType::kF32,
       {64, 1}},
      {scheme(Encoding::kInt8, Granularity::kChannel),
       "wan2.1-custom-int8_tensorwise.safetensors",
       R"({"format": "int8_tensorwise", "full_precision_matrix_mult": true})",
       DType::kF32,
       {64, 1}},
      {kFp8,
       "wan2.1-custom-fp8_scaled.safetensors",
       R"({"format": "float8_e4m3fn", "full_precision_matrix_mult": true})",
       DType::kF32,
       {}},
      {scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, 32),
       "wan2.1-custom-mxfp8.safetensors",
       R"({"format": "mxfp8"})",
       DType::kU8,
       {128, 4}},
      {scheme(Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, 16),
       "wan2.1-custom-nvfp4.safetensors",
       R"({"format": "nvfp4"})",
       DType::kF8E4M3,
       {128, 4}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.mark);
    TempDir dir;
    testing::write_model("comfyui", dir.path(), testing::wan_job(row.scheme, 1));
    EXPECT_EQ(testing::complaints("comfyui", dir.path()), "");
    const Checkpoint file = Checkpoint::open(dir / row.file);
    EXPECT_EQ(text_of(file, std::string(kQ) + ".comfy_quant"), row.mark);
    const StoredTensor* scale = file.find(std::string(kQ) + ".weight_scale");
    ASSERT_NE(scale, nullptr);
    EXPECT_EQ(scale->dtype, row.scale);
    EXPECT_EQ(scale->shape, row.shape);
    EXPECT_EQ(file.find("blocks.0.modulation")->dtype, DType::kF32);
    EXPECT_EQ(file.find("blocks.0.cross_attn.norm_k.weight")->dtype, DType::kF32);
    EXPECT_EQ(file.find("text_embedding.0.weight")->dtype, DType::kBF16);
  }
}

TEST(ComfyUi, Nvfp4HasTheFirstCodeInTheHighNibbleAndScalesInBlocks) {
  FormatJob job = testing::wan_job(scheme(Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, 16), 1);
  TempDir dir;
  testing::write_model("comfyui", dir.path(), job);
  const Checkpoint file = Checkpoint::open(file_in(dir));
  const QuantizedLinear q = testing::quantized(job.layers[1], 1);
  const Tensor weight = file.load(*file.find(std::string(kQ) + ".weight"));
  const uint8_t ours = q.weight.as<uint8_t>()[5];
  EXPECT_EQ(weight.as<uint8_t>()[5], static_cast<uint8_t>(ours << 4 | ours >> 4));
  const Tensor scale = file.load(*file.find(std::string(kQ) + ".weight_scale"));
  EXPECT_EQ(scale.as<uint8_t>()[16 + 2], q.scale.as<uint8_t>()[4 + 2]);  // row 1, column 2
  EXPECT_EQ(scale.as<uint8_t>()[4], q.scale.as<uint8_t>()[32 * 4]);      // row 32
}

TEST(ComfyUi, OldMarkersForFp8) {
  FormatJob job = testing::wan_job(kFp8, 1);
  job.options["markers"] = "scaled_fp8";
  TempDir dir;
  testing::write_model("comfyui", dir.path(), job);
  EXPECT_EQ(testing::complaints("comfyui", dir.path()), "");
  const Checkpoint file = Checkpoint::open(file_in(dir));
  EXPECT_EQ(file.find("scaled_fp8")->shape, (Shape{2}));
  EXPECT_EQ(file.find("scaled_fp8")->dtype, DType::kF8E4M3);
  EXPECT_EQ(file.find(std::string(kQ) + ".scale_weight")->shape, Shape{});
  EXPECT_EQ(file.find(std::string(kQ) + ".comfy_quant"), nullptr);
  EXPECT_EQ(file.find(std::string(kQ) + ".weight_scale"), nullptr);
  const auto q = read_comfyui(dir.path())->load_quantized(kQ);
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->scheme, kFp8);
  job.layers[1].scheme = testing::kW8A8;
  EXPECT_THROW(check_supported(find_format("comfyui"), job), Error);
}

TEST(ComfyUi, RotatedInputsAreMarked) {
  FormatJob job = testing::wan_job(testing::kW8A8, 1);
  job.layers[1].hadamard_group = 16;
  EXPECT_NO_THROW(check_supported(find_format("comfyui"), job));
  EXPECT_THROW(check_supported(find_format("mindie"), job), Error);
  TempDir dir;
  testing::write_model("comfyui", dir.path(), job);
  EXPECT_EQ(text_of(Checkpoint::open(file_in(dir)), std::string(kQ) + ".comfy_quant"),
            R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16})");
  EXPECT_EQ(read_comfyui(dir.path())->load_quantized(kQ)->hadamard_group, 16);
  job.layers[1].hadamard_group = 32;  // no power of 4
  EXPECT_THROW(check_supported(find_format("comfyui"), job), Error);
}

// Files of others: a prefix, marks in the metadata, scales that are scalars or [out], native FP8.
TEST(ComfyUi, ReadsWhatOthersWrite) {
  TempDir dir;
  std::map<std::string, Tensor> tensors;
  const std::string p = "model.diffusion_model.a.b";
  tensors[p + ".weight"] = testing::pattern(DType::kI8, {4, 8}, 1);
  tensors[p + ".weight_scale"] = testing::f32({4}, 0.5f);
  tensors["model.diffusion_model.c.weight"] = testing::pattern(DType::kF8E4M3, {4, 8}, 2);
  tensors["model.diffusion_model.c.weight_scale"] = testing::f32({}, 0.5f);
  tensors["model.diffusion_model.c.input_scale"] = testing::f32({}, 3);
  testing::write_safetensors(dir / "x.safetensors", tensors,
                             {{"_quantization_metadata",
                               R"({"format_version": "1.0", "layers": {"a.b": {"format": "int8_tensorwise",
                                   "params": {"convrot": true, "convrot_groupsize": 4}},
                                   "c": {"format": "float8_e4m3fn"}}})"}});
  EXPECT_TRUE(recognizes_comfyui(dir.path()));
  EXPECT_TRUE(recognizes_comfyui(dir / "x.safetensors"));
  const auto source = read_comfyui(dir / "x.safetensors");
  const auto q = source->load_quantized("a.b");
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->hadamard_group, 4);
  EXPECT_EQ(q->scale.shape(), (Shape{4, 1}));
  const auto native = source->load_quantized("c");
  EXPECT_EQ(native->scale.shape(), (Shape{1}));
  EXPECT_EQ(native->scheme.activation, Encoding::kFp8E4M3);
  EXPECT_EQ(native->act_scale.as<float>()[0], 3);
}

TEST(ComfyUi, VerifyNamesEachKindOfDamage) {
  struct Damage {
    const char *what, *from, *to, *complaint;
  };
  const Damage damages[] = {
      {"unknown format", R"({"format": "int8_tensorwise"})", R"({"format": "int8_blockwise_"})",
       "is not read here"},
      {"no JSON", R"({"format": "int8_tensorwise"})", R"({"format"; "int8_tensorwise"})", "comfy_quant"},
      {"no object", R"({"format": "int8_tensorwise"})", R"(["format", "int8_tensorwise"])", "no JSON object"},
      {"no format", R"({"format": "int8_tensorwise"})", R"({"formal": "int8_tensorwise"})", "format"},
      {"mark under another name", "self_attn.q.comfy_quant", "self_attn.q.comfy_quont", "has no mark"},
      {"weight under another name", "self_attn.q.weight\"", "self_attn.q.weighs\"", "has no weight matrix"},
      {"scale under another name", "self_attn.q.weight_scale", "self_attn.q.weight_scole",
       "has no weight_scale"},
      {"dtype of codes", "self_attn.q.weight\":{\"dtype\":\"I8\"", "self_attn.q.weight\":{\"dtype\":\"U8\"",
       "the loader expects I8"},
      {"shape of scales", "self_attn.q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[64,1]",
       "self_attn.q.weight_scale\":{\"dtype\":\"F32\",\"shape\":[1,64]", "apply wrongly"},
      {"tensor gone", "blocks.0.norm3.bias", "blocks.0.norm3.boss", "blocks.0.norm3.bias is missing"},
      {"block gone", "blocks.0.modulation", "blocks.7.modulation", "the last of which is blocks.7"},
      {"root tensor gone", "head.head.bias", "head.head.boss", "head.head.bias is missing"},
      {"comfy_quant of another dtype", "q.comfy_quant\":{\"dtype\":\"U8\"",
       "q.comfy_quant\":{\"dtype\":\"I8\"", "not a short U8 text"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    TempDir dir;
    testing::write_model("comfyui", dir.path(), testing::wan_job(testing::kW8A8, 1));
    ASSERT_EQ(std::string(damage.from).size(), std::string(damage.to).size());
    edit(file_in(dir), damage.from, damage.to);
    EXPECT_THAT(testing::complaints("comfyui", dir.path()), HasSubstr(damage.complaint));
    try {  // whatever verify says, reading ends in values or an Error
      read_comfyui(dir.path())->load_quantized(kQ);
    } catch (const Error&) {
    }
  }
}

TEST(ComfyUi, RefusesWhatItWouldMisread) {
  const auto why = [](QuantScheme s) {
    std::string text;
    return find_format("comfyui").supports(s, &text) ? "supported" : text;
  };
  EXPECT_THAT(why(scheme(Encoding::kFp8E4M3, Granularity::kChannel, Encoding::kFp8E4M3)),
              HasSubstr("one scale a tensor"));
  EXPECT_THAT(why(scheme(Encoding::kFp8E4M3, Granularity::kTensor, Encoding::kFp8E4M3)),
              HasSubstr("scale of 1"));
  EXPECT_THAT(why(scheme(Encoding::kInt8, Granularity::kGroup, Encoding::kFloat, 32)),
              HasSubstr("no groups"));
  EXPECT_THAT(why(scheme(Encoding::kInt4, Granularity::kChannel)), HasSubstr("int4"));
  EXPECT_THAT(why(scheme(Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, 32)),
              HasSubstr("no MXFP4"));
  EXPECT_THAT(why(scheme(Encoding::kQ4_K, Granularity::kBlock)), HasSubstr("--format gguf"));
  FormatJob job = testing::wan_job(scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, 32), 1);
  job.layers[1].shape = {48, 64};
  EXPECT_THROW(check_supported(find_format("comfyui"), job), Error);
}

TEST(ComfyUi, TwoFilesAreAQuestion) {
  TempDir dir;
  testing::write_model("comfyui", dir.path(), testing::wan_job(testing::kW8A8, 1));
  std::filesystem::copy_file(file_in(dir), dir / "second.safetensors");
  EXPECT_FALSE(recognizes_comfyui(dir.path()));
  EXPECT_TRUE(recognizes_comfyui(dir / "second.safetensors"));
}

}  // namespace
}  // namespace wanslim
