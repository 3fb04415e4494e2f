// SPDX-License-Identifier: Apache-2.0
#include "models/wan_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/testing.h"
#include "models/synth.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

Path golden(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "official/dit" / name;
}

WanReport report(const Path& path) {
  return report_on(Checkpoint::open(path));
}

TEST(WanReport, CountsWhatIsThere) {
  const WanReport r = report(golden("i2v"));
  ASSERT_TRUE(r.model);
  EXPECT_EQ(r.files.size(), 2u);
  EXPECT_EQ(r.file_bytes, 286880u + 612360u);
  EXPECT_EQ(r.tensors, 55u);
  EXPECT_EQ(r.parameters, 447104);
  ASSERT_EQ(r.dtypes.size(), 1u);
  EXPECT_EQ(r.dtypes[0].dtype, DType::kBF16);
  EXPECT_EQ(r.dtypes[0].bytes, 2u * 447104);
  EXPECT_EQ(r.model->block_linears, 12u);
  EXPECT_EQ(r.model->block_linear_parameters, 10 * 128 * 128 + 2 * 128 * 96);
  EXPECT_THAT(r.odd, ElementsAre("no published Wan2.1 transformer has these sizes"));
}

TEST(WanReport, NothingIsOddAboutAPublishedVariant) {
  TempDir dir;
  write_synth(dir / "x", {.geometry = wan_variant("tiny").geometry}, no_progress());
  const WanReport whole = report(dir / "x");
  EXPECT_EQ(whole.model->variant, "tiny");
  EXPECT_TRUE(whole.has_config);
  EXPECT_THAT(whole.odd, IsEmpty());
  write_synth(dir / "y", {.geometry = with_layers(wan_variant("tiny").geometry, 1)}, no_progress());
  EXPECT_THAT(report(dir / "y").odd, ElementsAre("blocks: 1 here, 2 in tiny"));
}

TEST(WanReport, SaysWhatIsOdd) {
  EXPECT_THAT(
      report(golden("vace")).odd,
      ElementsAre("no published Wan2.1 transformer has these sizes",
                  "the Linear weights have mixed dtypes: 23 are BF16 in vace_blocks, 30 are F16 in blocks"));
  TempDir dir;
  std::filesystem::copy_file(golden("t2v") / "diffusion_pytorch_model.safetensors", dir / "m.safetensors");
  EXPECT_THAT(report(dir.path()).odd[1], HasSubstr("there is no config.json"));
  std::map<std::string, Tensor> foreign;
  foreign["encoder.conv1.weight"] = testing::f32({2, 2});
  testing::write_safetensors(dir / "m.safetensors", foreign);
  const WanReport r = report(dir / "m.safetensors");
  EXPECT_FALSE(r.model);
  EXPECT_EQ(r.parameters, 4);
  EXPECT_THAT(r.odd, ElementsAre(HasSubstr("this is no Wan2.1 transformer")));
}

TEST(WanReport, FindsNansAndInfinitiesOfEveryFloat) {
  TempDir dir;
  std::map<std::string, Tensor> tensors;
  const int64_t large = 1500000;  // more than one piece
  tensors["f32"] = testing::f32({3, large / 3}, 0, 0);
  tensors["f32"].as<float>()[1499999] = NAN;
  tensors["fine"] = testing::f32({4}, 3.4e38f, 0);
  tensors["bf16"] = Tensor(DType::kBF16, {4});
  tensors["f16"] = Tensor(DType::kF16, {4});
  tensors["f64"] = Tensor(DType::kF64, {2});
  const uint16_t bf16[] = {0x7f7f, 0x7f80, 0xff80, 0xffc0}, f16[] = {0x7bff, 0xfbff, 0x7c00, 0x0000};
  std::copy(std::begin(bf16), std::end(bf16), tensors["bf16"].as<uint16_t>().begin());
  std::copy(std::begin(f16), std::end(f16), tensors["f16"].as<uint16_t>().begin());
  tensors["f64"].as<double>()[0] = 1e308;
  tensors["f64"].as<double>()[1] = std::numeric_limits<double>::infinity();
  testing::write_safetensors(dir / "m.safetensors", tensors);
  std::map<std::string, std::array<int64_t, 3>> found;
  for (const NonFinite& n : find_non_finite(Checkpoint::open(dir / "m.safetensors"), no_progress()))
    found[n.tensor] = {n.nan, n.infinite, n.first};
  const std::map<std::string, std::array<int64_t, 3>> expected = {
      {"f32", {1, 0, 1499999}}, {"bf16", {1, 2, 1}}, {"f16", {0, 1, 2}}, {"f64", {0, 1, 1}}};
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace wanslim
