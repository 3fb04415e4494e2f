// SPDX-License-Identifier: Apache-2.0
// What holds for every format: each scheme that it takes comes back as it went in, and its verifier is
// content; what it does not take is refused with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "base/error.h"
#include "formats/format.h"
#include "formats/model_testing.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

struct SchemeRow {
  const char* name;
  QuantScheme scheme;
};

const std::vector<SchemeRow>& schemes() {
  using testing::scheme;
  static const std::vector<SchemeRow> kRows = {
      {"W8A8", testing::kW8A8},
      {"W8A16", scheme(Encoding::kInt8, Granularity::kChannel)},
      {"W8A16 in groups", scheme(Encoding::kInt8, Granularity::kGroup, Encoding::kFloat, 32)},
      {"W4A16", scheme(Encoding::kInt4, Granularity::kChannel)},
      {"W4A16 in groups", scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 32)},
      {"W4A16 in one group", scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, 512)},
      {"W4A8", scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt8)},
      {"W4A4", scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kInt4)},
      {"W4A4 in groups", scheme(Encoding::kInt4, Granularity::kGroup, Encoding::kInt4, 128)},
      {"FP8 per channel", scheme(Encoding::kFp8E4M3, Granularity::kChannel, Encoding::kFp8E4M3)},
      {"FP8 per tensor", scheme(Encoding::kFp8E4M3, Granularity::kTensor, Encoding::kFp8E4M3)},
      {"MXFP8", scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, 32)},
      {"MXFP4", scheme(Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, 32)},
      {"MXFP4 with MXFP8", scheme(Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp8, 32)},
      {"MXFP4 dual", scheme(Encoding::kMxFp4, Granularity::kDual, Encoding::kMxFp4, 32)},
      {"Q8_0", scheme(Encoding::kQ8_0, Granularity::kBlock)},
      {"Q4_K", scheme(Encoding::kQ4_K, Granularity::kBlock)},
      {"NVFP4", scheme(Encoding::kNvFp4, Granularity::kBlock, Encoding::kNvFp4, 16)},
  };
  return kRows;
}

bool same(const Tensor& a, const Tensor& b) {
  if (a.empty() || b.empty()) return a.empty() == b.empty();
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw().data(), b.raw().data(), a.bytes()) == 0;
}

void round_trip(const Format& format, const FormatJob& job) {
  TempDir dir;
  testing::write_model(format.name, dir.path(), job);
  EXPECT_EQ(testing::complaints(format.name, dir.path()), "");
  EXPECT_EQ(recognize_format(dir.path()).name, format.name);
  const std::unique_ptr<WeightSource> source = format.read(dir.path());
  bool dequantized = false;  // one of each scheme: the bytes are compared anyway, and sanitizers make it slow
  for (size_t i = 0; i < job.layers.size(); ++i) {
    const LayerPlan& layer = job.layers[i];
    const std::optional<QuantizedLinear> read =
        layer.linear ? source->load_quantized(layer.name) : std::nullopt;
    ASSERT_EQ(read.has_value(), layer.quantized()) << layer.name;
    if (!read) {
      const std::string name = layer.tensors()[0];
      ASSERT_TRUE(source->has(name)) << name;
      EXPECT_EQ(source->shape(name), layer.shape) << name;
      EXPECT_TRUE(same(source->load(name),
                       testing::pattern(source->dtype(name), layer.shape, static_cast<uint32_t>(i))))
          << name;
      continue;
    }
    const QuantizedLinear written = testing::quantized(layer, static_cast<uint32_t>(i));
    EXPECT_TRUE(same(read->weight, written.weight)) << layer.name;
    EXPECT_TRUE(same(read->scale, written.scale)) << layer.name << to_string(read->scale.shape());
    EXPECT_TRUE(same(read->dual_scale, written.dual_scale)) << layer.name;
    if (!std::exchange(dequantized, true)) {
      EXPECT_TRUE(same(dequantize(*read), dequantize(written))) << layer.name;
    }
    ASSERT_EQ(read->bias.count(), layer.shape[0]);
    EXPECT_EQ(read->scheme.weight, layer.scheme.weight);
    EXPECT_EQ(read->scheme.activation, layer.scheme.activation);
  }
}

TEST(Formats, EachSchemeComesBackAsItWentInOrIsRefusedWithAReason) {
  for (const Format& format : formats()) {
    int taken = 0;
    for (const SchemeRow& row : schemes()) {
      SCOPED_TRACE(std::string(format.name) + ", " + row.name);
      const FormatJob job = testing::wan_job(row.scheme, 1, 512);
      std::string why;
      const bool supported = format.supports(row.scheme, &why);
      try {
        check_supported(format, job);
      } catch (const Error& e) {
        EXPECT_GT(e.text.size(), 30u);
        EXPECT_TRUE(supported || !why.empty());
        continue;
      }
      EXPECT_TRUE(supported);
      round_trip(format, job);
      ++taken;
    }
    EXPECT_GT(taken, 0) << format.name;
  }
}

TEST(Formats, AMissingTensorIsFoundByEveryVerifier) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    for (const SchemeRow& row : schemes()) {
      const FormatJob job = testing::wan_job(row.scheme, 1, 512);
      try {
        check_supported(format, job);
      } catch (const Error&) {
        continue;
      }
      TempDir dir;
      testing::write_model(format.name, dir.path(), job);
      for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
        if (entry.path().extension() != ".safetensors" && entry.path().extension() != ".gguf") continue;
        remove_file(entry.path());
        break;
      }
      EXPECT_NE(testing::complaints(format.name, dir.path()), "");
      break;
    }
  }
}

TEST(Formats, OffersTheNearestName) {
  try {
    find_format("mindi");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("did you mean \"mindie\""));
    EXPECT_EQ(e.parts.kind, Error::Kind::kUsage);
  }
}

TEST(Formats, OnlyFormatsBesideAFloatCheckpointAreSlim) {
  for (const Format& format : formats()) {
    FormatJob job = testing::wan_job(testing::kW8A8);
    job.slim = true;
    if (format.slims) continue;
    EXPECT_THROW(check_supported(format, job), Error) << format.name;
  }
}

}  // namespace
}  // namespace wanslim
