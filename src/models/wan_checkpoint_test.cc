// SPDX-License-Identifier: Apache-2.0
#include "models/wan_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "io/testing.h"
#include "models/wan_config.h"

namespace wanslim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;

Path golden(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "official/dit" / name;
}

// What the golden's case.json says about the model.
WanGeometry geometry_of_case(const std::string& name) {
  const Json m = parse_json(read_text(golden(name) / "case.json", 1 << 20), name).at("model");
  WanGeometry g{.dim = m.at("dim").get<int64_t>(),
                .ffn_dim = m.at("ffn_dim").get<int64_t>(),
                .heads = m.at("num_heads").get<int64_t>(),
                .layers = m.at("num_layers").get<int64_t>(),
                .in_dim = m.at("in_dim").get<int64_t>(),
                .out_dim = m.at("out_dim").get<int64_t>(),
                .text_dim = m.at("text_dim").get<int64_t>(),
                .freq_dim = m.at("freq_dim").get<int64_t>(),
                .text_len = m.at("text_len").get<int64_t>(),
                .eps = m.at("eps").get<double>()};
  const auto type = m.at("model_type").get<std::string>();
  g.has_image_condition = type == "i2v" || type == "flf2v";
  g.has_image_position = type == "flf2v";
  if (g.has_image_condition) g.image_dim = m.at("clip_dim").get<int64_t>();
  if (m.contains("vace_layers")) g.vace_layers = m.at("vace_layers").get<std::vector<int64_t>>();
  return g;
}

// The tensors of a transformer as a checkpoint would list them.
std::vector<StoredTensor> stored(const WanGeometry& g, Naming naming = Naming::kOfficial) {
  std::vector<StoredTensor> out;
  for (const TensorSpec& spec : tensor_specs(g))
    out.push_back({.name = *name_in(naming, spec.name), .shape = spec.shape});
  return out;
}

const WanGeometry kSmall{.dim = 256, .ffn_dim = 512, .heads = 2, .layers = 3};

std::string match_error(const std::vector<StoredTensor>& tensors, std::optional<ConfigText> config = {}) {
  try {
    require_complete(match_wan(tensors, config, "dir"), "dir");
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

StoredTensor& named(std::vector<StoredTensor>& tensors, std::string_view name) {
  for (StoredTensor& t : tensors)
    if (t.name == name) return t;
  ADD_FAILURE() << name;
  return tensors[0];
}

TEST(WanCheckpoint, OpensEveryGoldenWithTheGeometryOfItsCase) {
  const std::pair<const char*, Naming> rows[] = {
      {"t2v", Naming::kOfficial},  {"i2v", Naming::kOfficial},        {"flf2v", Naming::kOfficial},
      {"vace", Naming::kOfficial}, {"t2v_comfyui", Naming::kComfyUi}, {"t2v_diffusers", Naming::kDiffusers}};
  for (const auto& [name, naming] : rows) {
    SCOPED_TRACE(name);
    // ComfyUI files stand in a folder with other models.
    const bool one_file = naming == Naming::kComfyUi;
    const WanCheckpoint c =
        open_wan(one_file ? golden(name) / "wan_mini_t2v_fp32.safetensors" : golden(name));
    EXPECT_EQ(c.geometry(), geometry_of_case(name));
    EXPECT_EQ(c.naming(), naming);
    EXPECT_EQ(c.tensors().size(), c.file().tensors().size());
    const Tensor weight = c.load("blocks.0.ffn.2.weight");
    EXPECT_THAT(weight.shape(), ElementsAre(c.geometry().dim, c.geometry().ffn_dim));
    EXPECT_EQ(weight.dtype(), c.dtype("blocks.0.ffn.2.weight"));
    EXPECT_FALSE(c.has("blocks.0.ffn.net.2.weight"));
    EXPECT_FALSE(c.load_quantized("blocks.0.ffn.2"));
  }
  EXPECT_EQ(open_wan(golden("vace")).dtype("blocks.0.ffn.0.weight"), DType::kF16);
  EXPECT_EQ(open_wan(golden("vace")).dtype("vace_blocks.0.ffn.0.weight"), DType::kBF16);
}

TEST(WanCheckpoint, OrderIsOfficialWhateverTheNaming) {
  for (Naming naming : {Naming::kOfficial, Naming::kDiffusers, Naming::kComfyUi}) {
    const auto tensors = stored(kSmall, naming);
    const WanMatch match = match_wan(tensors, {}, "dir");
    ASSERT_TRUE(match.complete());
    EXPECT_EQ(match.naming, naming);
    EXPECT_EQ(match.tensors[0].spec.name, "blocks.0.modulation");
    EXPECT_EQ(match.tensors.back().spec.name, "head.head.bias");
    for (const WanTensor& t : match.tensors) EXPECT_EQ(official_name(naming, t.stored->name), t.spec.name);
  }
}

TEST(WanCheckpoint, EveryVariantIsKnownFromShapesAlone) {
  for (const WanVariant& row : wan_variants()) {
    SCOPED_TRACE(row.name);
    WanGeometry expected = row.geometry;
    expected.text_len = 512;
    EXPECT_EQ(match_wan(stored(row.geometry), {}, "dir").geometry, expected);
  }
}

TEST(WanCheckpoint, NamesWhatIsMissingUnexpectedAndMisshapenAtOnce) {
  auto tensors = stored(kSmall, Naming::kDiffusers);
  named(tensors, "blocks.1.ffn.net.2.weight").name = "blocks.1.ffn.net.2.wieght";
  named(tensors, "blocks.2.attn1.to_q.weight").shape = {256, 128};
  named(tensors, "proj_out.bias").dtype = DType::kF64;
  std::erase_if(tensors, [](const StoredTensor& t) { return t.name.starts_with("blocks.0.attn2.to_"); });
  EXPECT_THAT(match_error(tensors),
              AllOf(HasSubstr("dir: not a whole Wan2.1 t2v transformer of 3 blocks and width 256"),
                    HasSubstr("9 tensors missing: \"blocks.0.attn2.to_q.weight\", "), HasSubstr(", ..."),
                    HasSubstr("1 tensor unexpected: \"blocks.1.ffn.net.2.wieght\" - did you mean "
                              "\"blocks.1.ffn.net.2.weight\"?"),
                    HasSubstr("1 tensor of the wrong shape: \"blocks.2.attn1.to_q.weight\" is [256, 128], "
                              "expected [256, 256]"),
                    HasSubstr("\"proj_out.bias\" is F64")));
}

TEST(WanCheckpoint, OneMisshapenTensorDoesNotSpoilTheOthers) {
  for (const char* name : {"patch_embedding.bias", "head.modulation", "blocks.0.ffn.0.bias"}) {
    auto tensors = stored(kSmall);
    named(tensors, name).shape.back() = 7;
    EXPECT_THAT(match_error(tensors),
                AllOf(HasSubstr("1 tensor of the wrong shape"), Not(HasSubstr("missing"))));
  }
}

TEST(WanCheckpoint, AMissingShardIsSeenAsMissingBlocks) {
  WanGeometry g = kSmall;
  g.layers = 40;
  auto tensors = stored(g);
  std::erase_if(tensors, [](const StoredTensor& t) { return t.name.starts_with("blocks.2"); });
  EXPECT_THAT(match_error(tensors),
              AllOf(HasSubstr("of 40 blocks"), HasSubstr("297 tensors missing: \"blocks.2.")));
}

TEST(WanCheckpoint, RefusesQuantizedAndForeignCheckpoints) {
  auto tensors = stored(kSmall);
  named(tensors, "blocks.1.ffn.0.weight").dtype = DType::kI8;
  EXPECT_THAT(match_error(tensors),
              HasSubstr("the checkpoint is quantized already: it holds \"blocks.1.ffn.0.weight\" (I8)"));
  for (const char* extra : {"blocks.0.ffn.0.weight_scale", "blocks.0.ffn.0.comfy_quant", "scaled_fp8"}) {
    tensors = stored(kSmall);
    tensors.push_back({.name = extra, .shape = {1}});
    EXPECT_THAT(match_error(tensors), HasSubstr("quantized already")) << extra;
  }
  EXPECT_THAT(match_error({}), HasSubstr("this is no Wan2.1 transformer"));
  EXPECT_THAT(match_error({{.name = "encoder.conv1.weight", .shape = {3}}}),
              HasSubstr("1 of its 1 tensors are of another model, \"encoder.conv1.weight\" first"));
  EXPECT_THAT(match_error({{.name = "blocks.0.norm3.weight", .shape = {128}}}),
              HasSubstr("not the tensors of a Wan2.1 transformer"));
}

TEST(WanCheckpoint, HostileNamesAndNumbersAreUnexpectedTensors) {
  const std::string names[] = {"blocks.99999999999.ffn.0.weight",
                               "blocks.999999.ffn.0.weight",
                               "vace_blocks.99999.ffn.0.weight",
                               "blocks.-1.ffn.0.weight",
                               "",
                               "\x1b[2J",
                               std::string(4000, 'a'),
                               std::string("blocks.0\0", 9)};
  for (const std::string& name : names) {
    auto tensors = stored(kSmall);
    tensors.push_back({.name = name, .shape = {128}});
    const std::string text = match_error(tensors);
    EXPECT_THAT(text, HasSubstr("1 tensor unexpected")) << name;
    EXPECT_LT(text.size(), 600u);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
  }
  auto tensors = stored(kSmall);
  named(tensors, "patch_embedding.weight").shape = {int64_t{1} << 62, 0, 1, 2, 2};
  named(tensors, "text_embedding.0.weight").shape = {0, int64_t{1} << 62};
  EXPECT_THAT(match_error(tensors), HasSubstr("2 tensors of the wrong shape"));
}

TEST(WanCheckpoint, AsksForConfigWhereShapesCannotTell) {
  WanGeometry g = kSmall;
  g.dim = 192;
  g.heads = 3;
  EXPECT_THAT(match_error(stored(g)), AllOf(HasSubstr("number of heads cannot be told from the width 192"),
                                            HasSubstr("put the checkpoint's config.json beside it")));
  const auto config = [](const WanGeometry& of) {
    return ConfigText{.text = config_json_text(of), .where = "config.json"};
  };
  EXPECT_EQ(match_error(stored(g), config(g)), "no error");
  EXPECT_EQ(match_wan(stored(g), config(g), "dir").geometry, g);
  g.heads = 5;
  EXPECT_THAT(match_error(stored(g), config(g)), HasSubstr("a width of 192 does not split into 5 heads"));

  g = kSmall;
  g.layers = 6;
  g.vace_layers = {0, 5};  // looks like every third block to a reader without config.json
  EXPECT_THAT(match_wan(stored(g), {}, "dir").geometry.vace_layers, ElementsAre(0, 3));
  EXPECT_EQ(match_wan(stored(g), config(g), "dir").geometry.vace_layers, g.vace_layers);
  g.vace_layers = {0, 1, 4, 5};
  EXPECT_THAT(match_error(stored(g)), HasSubstr("which of the 6 blocks the 4 VACE blocks belong to"));
}

TEST(WanCheckpoint, ReadsConfigBesideTheFile) {
  TempDir dir;
  const Path file = dir / "wan.safetensors";
  std::filesystem::copy_file(golden("t2v_comfyui") / "wan_mini_t2v_fp32.safetensors", file);
  EXPECT_EQ(open_wan(file).geometry(), open_wan(dir.path()).geometry());
  testing::write_text(dir / "config.json", R"({"num_layers": 30})");
  for (const Path& path : {file, dir.path()}) {
    try {
      open_wan(path);
      FAIL();
    } catch (const Error& e) {
      EXPECT_THAT(e.text, AllOf(HasSubstr("config.json: the file contradicts the tensors"),
                                HasSubstr("\"num_layers\" is 30, the tensors have 1")));
    }
  }
}

}  // namespace
}  // namespace wanslim
