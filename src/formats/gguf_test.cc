// SPDX-License-Identifier: Apache-2.0
// Writes files as quant does, breaks them, and reads them as the loaders do.
#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "formats/gguf_verify.h"
#include "formats/testing.h"
#include "io/gguf.h"
#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::linear_layer;
using testing::plain_tensor;
using testing::TempDir;

QuantScheme blocks(Encoding encoding) {
  return {.weight = encoding, .weight_granularity = Granularity::kBlock, .group = 32};
}

FormatJob small_job() {
  FormatJob job;
  job.layers = {plain_tensor("blocks.0.modulation", {1, 6, 256}),
                plain_tensor("blocks.0.self_attn.norm_q.weight", {2048}),
                linear_layer("blocks.0.self_attn.q", {4, 256}, blocks(Encoding::kQ4_K)),
                linear_layer("blocks.0.self_attn.k", {4, 256}, blocks(Encoding::kQ4_K)),
                linear_layer("blocks.0.ffn.2", {2, 64}, blocks(Encoding::kQ8_0)),
                linear_layer("blocks.0.ffn.0", {4, 512}, {}),
                plain_tensor("patch_embedding.weight", {96, 16, 1, 2, 2}),
                linear_layer("text_embedding.2", {2, 16}, {}),
                plain_tensor("head.modulation", {1, 2, 1024})};
  return job;
}

LayerValue value_of(const LayerPlan& layer, std::span<const OutTensor> tensors) {
  LayerValue value;
  if (!layer.quantized()) {
    for (const OutTensor& t : tensors) value.values.push_back(testing::filled(t.dtype, t.shape, 0x3c));
    return value;
  }
  value.quantized.name = layer.name;
  value.quantized.scheme = layer.scheme;
  value.quantized.weight = testing::filled(DType::kU8, tensors[0].shape, 0x21);
  value.quantized.bias = testing::f32({layer.shape[0]}, 1, 1);
  return value;
}

void write(const Path& dir) {
  testing::write_job("gguf", dir, small_job(), value_of);
}

const char kName[] = "wan2.1-custom-Q4_K-mixed.gguf";

TEST(GgufFormat, WritesWhatTheConverterWrites) {
  TempDir dir;
  write(dir.path());
  const std::string bytes = read_text(dir / kName, 1 << 20);
  const auto header = parse_gguf_header(std::as_bytes(std::span(bytes)), bytes.size(), kName);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->metadata, (std::map<std::string, std::string>{{"general.architecture", "wan"},
                                                                  {"general.file_type", "14"},
                                                                  {"general.quantization_version", "2"}}));
  std::string listing;
  for (const GgufTensor& t : header->tensors)
    listing += t.name + " " + std::string(t.type->name) + " " + to_string(t.shape) + "\n";
  EXPECT_EQ(listing,
            "blocks.0.modulation F32 [1, 6, 256]\n"
            "blocks.0.self_attn.norm_q.weight F32 [2048]\n"
            "blocks.0.self_attn.q.weight Q4_K [4, 256]\n"
            "blocks.0.self_attn.q.bias F32 [4]\n"
            "blocks.0.self_attn.k.weight Q4_K [4, 256]\n"
            "blocks.0.self_attn.k.bias F32 [4]\n"
            "blocks.0.ffn.2.weight Q8_0 [2, 64]\n"
            "blocks.0.ffn.2.bias F32 [2]\n"
            "blocks.0.ffn.0.weight F16 [4, 512]\n"
            "blocks.0.ffn.0.bias F32 [4]\n"
            "patch_embedding.weight F32 [96, 16, 1, 2, 2]\n"
            "text_embedding.2.weight F32 [2, 16]\n"
            "text_embedding.2.bias F32 [2]\n"
            "head.modulation F32 [1, 2, 1024]\n");
  // Blocks as they are, the bias right behind them, zeros where nothing lies.
  const GgufTensor& ffn = header->tensors[6];
  EXPECT_EQ(bytes.substr(ffn.offset, ffn.bytes), std::string(136, 0x21));
  EXPECT_EQ(bytes.substr(ffn.offset + 136, 24), std::string(24, '\0'));
  EXPECT_EQ(header->tensors[7].offset, ffn.offset + 160);
  EXPECT_EQ(bytes.substr(header->tensors[7].offset, 8), std::string("\0\0\x80\x3f\0\0\0\x40", 8));
  EXPECT_EQ(testing::problems_of("gguf", dir.path()), "");
}

TEST(GgufFormat, ReadsBackWhatItWrote) {
  TempDir dir;
  write(dir.path());
  const auto source = read_gguf(dir.path());
  const auto q = source->load_quantized("blocks.0.self_attn.q");
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->scheme, blocks(Encoding::kQ4_K));
  EXPECT_EQ(q->weight.shape(), (Shape{4, 144}));
  EXPECT_EQ(q->bias.as<float>()[3], 4.0f);
  EXPECT_FALSE(source->load_quantized("blocks.0.ffn.0").has_value());
  EXPECT_EQ(source->dtype("blocks.0.ffn.0.weight"), DType::kF16);
  EXPECT_EQ(read_gguf(dir / kName)->shape("patch_embedding.weight"), (Shape{96, 16, 1, 2, 2}));
}

TEST(GgufFormat, VerifyNamesEachKindOfDamage) {
  struct Damage {
    const char* from;
    std::string to;
    const char* complaint;
  };
  const Damage damages[] = {
      {"wan", "flx", "general.architecture is \"flx\""},
      {"quantization_version", "quantization_versiom", "general.quantization_version is missing"},
      {"head.modulation", "tail.modulation", "head.modulation is missing"},
      {"blocks.0.self_attn.k.weight", "time_projection.1.w.weight!", "expect plain floats"},
      {"!!!!!!!!", "!!!!!!!\"", "differs from its checksum"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.complaint);
    TempDir dir;
    write(dir.path());
    std::string bytes = read_text(dir / kName, 1 << 20);
    const size_t at = bytes.find(damage.from);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, damage.to.size(), damage.to);
    testing::write_text(dir / kName, bytes);
    EXPECT_THAT(testing::problems_of("gguf", dir.path()), HasSubstr(damage.complaint));
  }
}

TEST(GgufFormat, VerifyFindsScalesThatAreNotFinite) {
  for (const Encoding encoding : {Encoding::kQ8_0, Encoding::kQ4_0, Encoding::kQ6_K, Encoding::kQ5_K,
                                  Encoding::kQ4_K, Encoding::kQ3_K, Encoding::kQ2_K}) {
    TempDir dir;
    FormatJob job;
    job.layers = {linear_layer("blocks.0.ffn.0", {2, 512}, blocks(encoding))};
    testing::write_job("gguf", dir.path(), job, [&](const LayerPlan& layer, std::span<const OutTensor> out) {
      LayerValue value = value_of(layer, out);
      // A block of the second row decodes to infinities or NaN.
      const auto size = static_cast<size_t>(ggml_block(encoding).bytes);
      const std::span<uint8_t> all = value.quantized.weight.as<uint8_t>();
      const std::span<uint8_t> block = all.subspan(all.size() - size, size);
      std::vector<float> values(static_cast<size_t>(ggml_block(encoding).elements));
      for (size_t i = 0; i + 1 < size; ++i) {
        const uint8_t low = block[i], high = block[i + 1];
        block[i] = 0, block[i + 1] = 0x7c;
        decode_ggml_block(encoding, block, values);
        if (!std::isfinite(values[0])) break;
        block[i] = low, block[i + 1] = high;
      }
      return value;
    });
    EXPECT_THAT(testing::problems_of("gguf", dir.path()),
                HasSubstr("blocks.0.ffn.0.weight: the scale of block"));
  }
}

TEST(GgufFormat, RefusesWhatNoRuntimeReads) {
  const Format& format = find_format("gguf");
  std::string why;
  EXPECT_TRUE(format.supports(blocks(Encoding::kQ6_K), &why));
  EXPECT_FALSE(format.supports({.weight = Encoding::kInt8}, &why));
  EXPECT_THAT(why, HasSubstr("Q8_0, Q6_K"));
  QuantScheme with_activation = blocks(Encoding::kQ8_0);
  with_activation.activation = Encoding::kInt8;
  EXPECT_FALSE(format.supports(with_activation, &why));
  FormatJob job;
  job.layers = {linear_layer("text_embedding.0", {4, 256}, blocks(Encoding::kQ4_K))};
  EXPECT_THROW(check_supported(format, job), Error);
  job.layers = {linear_layer("blocks.0." + std::string(120, 'x'), {4, 256}, blocks(Encoding::kQ4_K))};
  EXPECT_THROW(check_supported(format, job), Error);
}

}  // namespace
}  // namespace wanslim
