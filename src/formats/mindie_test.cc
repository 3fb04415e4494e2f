// SPDX-License-Identifier: Apache-2.0
// Writes folders as quant does, breaks them as users and disks do, and reads them as the loader does.
#include "formats/mindie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "base/error.h"
#include "formats/loader_checks.h"
#include "formats/mindie_verify.h"
#include "formats/writer.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

const QuantScheme kW8A8{
    .weight = Encoding::kInt8, .activation = Encoding::kInt8, .activation_granularity = Granularity::kToken};

LayerPlan linear(const std::string& name, Shape shape, QuantScheme scheme) {
  LayerPlan layer;
  layer.name = name;
  layer.linear = layer.has_bias = true;
  layer.block = 0;
  layer.shape = std::move(shape);
  layer.scheme = scheme;
  return layer;
}

FormatJob small_job() {
  FormatJob job;
  LayerPlan modulation;
  modulation.name = "blocks.0.modulation";
  modulation.shape = {1, 6, 4};
  job.layers = {modulation, linear("blocks.0.self_attn.q", {4, 8}, kW8A8),
                linear("blocks.0.ffn.2", {4, 8}, {})};
  return job;
}

Tensor filled(DType dtype, Shape shape, int value) {
  Tensor t(dtype, std::move(shape));
  std::memset(t.raw().data(), value, t.bytes());
  return t;
}

LayerValue value_of(const LayerPlan& layer) {
  LayerValue value;
  if (!layer.quantized()) {
    value.values.push_back(filled(DType::kBF16, layer.shape, 0x3f));
    if (layer.has_bias) value.values.push_back(filled(DType::kBF16, {layer.shape[0]}, 0x3f));
    return value;
  }
  value.quantized.name = layer.name;
  value.quantized.scheme = layer.scheme;
  value.quantized.weight = filled(DType::kI8, layer.shape, 5);
  value.quantized.scale = testing::f32({layer.shape[0], 1}, 0.5f, 0.25f);
  value.quantized.bias = testing::f32({layer.shape[0]}, 1, 1);
  return value;
}

void write(const Path& dir, const FormatJob& job) {
  FormatWriter writer(find_format("mindie"), job);
  OutputFolder folder = OutputFolder::open(dir, {{"job", 1}}, writer.final_names({}), false);
  writer.open(folder, no_progress());
  for (size_t i = job.layers.size(); i-- > 0;) {  // any order gives the same file
    if (writer.layer_bytes(i) > 0) writer.write(i, value_of(job.layers[i]), {"source"});
  }
  writer.finish({}, {});
}

std::string problems(const Path& dir) {
  VerifyReport report = verify_mindie(dir);
  check_manifest(dir, report, no_progress());
  std::string out;
  for (const std::string& line : report.problems) out += line + "\n";
  return out;
}

const char kDescriptionName[] = "quant_model_description_w8a8_dynamic.json";
const char kWeightName[] = "quant_model_weight_w8a8_dynamic.safetensors";

TEST(Mindie, WritesNamesTypesModesAndOrderOfTheReference) {
  TempDir dir;
  write(dir.path(), small_job());
  EXPECT_EQ(read_text(dir / kDescriptionName, 10000),
            "{\n"
            "    \"blocks.0.modulation\": \"FLOAT\",\n"
            "    \"blocks.0.self_attn.q.weight\": \"W8A8_DYNAMIC\",\n"
            "    \"blocks.0.self_attn.q.weight_scale\": \"W8A8_DYNAMIC\",\n"
            "    \"blocks.0.self_attn.q.weight_offset\": \"W8A8_DYNAMIC\",\n"
            "    \"blocks.0.self_attn.q.bias\": \"FLOAT\",\n"
            "    \"blocks.0.ffn.2.weight\": \"FLOAT\",\n"
            "    \"blocks.0.ffn.2.bias\": \"FLOAT\",\n"
            "    \"model_quant_type\": \"W8A8_DYNAMIC\"\n"
            "}");
  struct stat s {};
  ASSERT_EQ(::stat((dir / kWeightName).c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0640u);
  EXPECT_EQ(problems(dir.path()), "");
}

TEST(Mindie, ReadsBackWhatItWrote) {
  TempDir dir;
  write(dir.path(), small_job());
  const auto source = read_mindie(dir.path());
  const auto q = source->load_quantized("blocks.0.self_attn.q");
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->scheme, kW8A8);
  EXPECT_EQ(q->scale.as<float>()[1], 0.75f);
  EXPECT_EQ(q->bias.as<float>()[3], 4.0f);
  EXPECT_FALSE(source->load_quantized("blocks.0.ffn.2").has_value());
  EXPECT_EQ(source->dtype("blocks.0.ffn.2.weight"), DType::kBF16);
}

TEST(Mindie, SlimLeavesOutFloatTensors) {
  TempDir dir;
  FormatJob job = small_job();
  job.slim = true;
  write(dir.path(), job);
  EXPECT_EQ(problems(dir.path()), "");
  EXPECT_FALSE(read_mindie(dir.path())->has("blocks.0.modulation"));
}

TEST(Mindie, VerifyNamesEachKindOfDamage) {
  struct Damage {
    const char* what;
    void (*inflict)(const Path& dir);
    const char* complaint;
  };
  static const auto edit = [](const Path& path, const std::string& from, const std::string& to) {
    std::string text = read_text(path, 1 << 20);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    testing::write_text(path, text);
    ::chmod(path.c_str(), 0640);
  };
  const Damage damages[] = {
      {"mode", [](const Path& d) { ::chmod((d / kWeightName).c_str(), 0644); }, "has mode 0644"},
      {"mode of the description", [](const Path& d) { ::chmod((d / kDescriptionName).c_str(), 0660); },
       "has mode 0660"},
      {"symlink",
       [](const Path& d) {
         rename_file(d / kDescriptionName, d / "elsewhere");
         std::filesystem::create_symlink("elsewhere", d / kDescriptionName);
       },
       "symbolic link"},
      {"weights gone", [](const Path& d) { remove_file(d / kWeightName); }, "is missing"},
      {"a name that no file can have",
       [](const Path& d) {
         edit(d / kDescriptionName, "model_quant_type\": \"",
              "model_quant_type\": \"" + std::string(300, 'w'));
       },
       "is missing"},
      {"a bit flipped",
       [](const Path& d) {
         std::string text = read_text(d / kWeightName, 1 << 20);
         text.back() ^= 1;
         File::open_update(d / kWeightName).write_at(0, std::as_bytes(std::span(text)));
       },
       "differs from its checksum"},
      {"marked FLOAT",
       [](const Path& d) {
         edit(d / kDescriptionName, "self_attn.q.weight\": \"W8A8_DYNAMIC", "self_attn.q.weight\": \"FLOAT");
       },
       "no quantized layer"},
      {"float by a second key",
       [](const Path& d) {
         edit(d / kDescriptionName, "{\n", "{\n    \"blocks.0.self_attn.q\": \"FLOAT\",\n");
       },
       "leaves blocks.0.self_attn.q in float"},
      {"type that is not run",
       [](const Path& d) {
         edit(d / kDescriptionName, "self_attn.q.weight\": \"W8A8_DYNAMIC",
              "self_attn.q.weight\": \"W4A8_AWQ");
       },
       "does not execute"},
      {"unknown type",
       [](const Path& d) {
         edit(d / kDescriptionName, "self_attn.q.weight\": \"W8A8_DYNAMIC",
              "self_attn.q.weight\": \"w8a8_dynamic");
       },
       "does not execute"},
      {"tensor that is not there",
       [](const Path& d) {
         edit(d / kDescriptionName, "{\n", "{\n    \"blocks.9.ffn.0.weight\": \"W8A8_DYNAMIC\",\n");
       },
       "blocks.9.ffn.0.weight"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    TempDir dir;
    write(dir.path(), small_job());
    damage.inflict(dir.path());
    EXPECT_THAT(problems(dir.path()), HasSubstr(damage.complaint));
  }
}

TEST(Mindie, RefusesWhatTheRuntimeWouldMisread) {
  const Format& format = find_format("mindie");
  const auto why = [&](QuantScheme scheme) {
    std::string text;
    return format.supports(scheme, &text) ? "supported" : text;
  };
  EXPECT_EQ(why(kW8A8), "supported");
  QuantScheme grouped = kW8A8;
  grouped.weight_granularity = Granularity::kGroup;
  EXPECT_THAT(why(grouped), HasSubstr("ignore groups"));
  QuantScheme w4a4{.weight = Encoding::kInt4,
                   .activation = Encoding::kInt4,
                   .activation_granularity = Granularity::kToken};
  EXPECT_THAT(why(w4a4), HasSubstr("drops the bias"));
  FormatJob job;
  job.layers = {linear("blocks.0.ffn.2", {4, 96},
                       {.weight = Encoding::kMxFp8,
                        .weight_granularity = Granularity::kBlock,
                        .activation = Encoding::kMxFp8,
                        .activation_granularity = Granularity::kBlock,
                        .group = 32})};
  EXPECT_THROW(check_supported(format, job), Error);
}

}  // namespace
}  // namespace wanslim
