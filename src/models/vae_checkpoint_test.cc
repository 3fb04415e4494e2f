// SPDX-License-Identifier: Apache-2.0
#include "models/vae_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "io/testing.h"
#include "models/wan_vae.h"
#include "support/golden.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

const Path kData = Path(WANSLIM_TESTDATA) / "official/vae";

TEST(VaeCheckpoint, KnowsEveryNameOfDiffusers) {
  const Json table =
      parse_json(testing::read_golden_text("official/vae/mini_diffusers/case.json"), "case.json");
  int names = 0;
  for (const Json& row : table["names_official_to_diffusers"]) {
    EXPECT_EQ(official_vae_name(row[1].get<std::string>(), 3), row[0].get<std::string>());
    ++names;
  }
  EXPECT_EQ(names, 194);
}

TEST(VaeCheckpoint, KnowsNoOtherNames) {
  for (const char* name :
       {"", "decoder", "decoder.up_blocks.0.resnets.3.conv1.weight", "encoder.down_blocks..norm1.gamma",
        "encoder.down_blocks.-1.norm1.gamma", "decoder.up_blocks.99999.resnets.0.conv1.weight",
        "decoder.up_blocks.1.attentions.0.norm.gamma", "encoder.down_blocks.7"}) {
    EXPECT_EQ(official_vae_name(name, 3), std::nullopt) << name;
  }
}

std::string message(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.text;
  }
  return "no error";
}

TEST(VaeCheckpoint, RefusesOtherModels) {
  EXPECT_THAT(message([] { open_vae(Path(WANSLIM_TESTDATA) / "official/dit/t2v"); }),
              HasSubstr("this is not a Wan VAE"));
  TempDir folder;
  EXPECT_THAT(message([&] { open_vae(folder.path()); }),
              HasSubstr("the folder has no VAE: none of Wan2.1_VAE.pth"));
}

// A copy of the mini checkpoint with one tensor changed.
Path damaged(const TempDir& folder, const std::function<void(std::map<std::string, Tensor>&)>& change) {
  const NamedCheckpoint good = open_vae(kData / "mini");
  std::map<std::string, Tensor> tensors;
  for (const StoredTensor& t : good.file().tensors()) tensors.emplace(t.name, good.file().load(t));
  change(tensors);
  testing::write_safetensors(folder / "vae.safetensors", tensors);
  return folder / "vae.safetensors";
}

TEST(VaeCheckpoint, NamesWhatIsWrongWithATensor) {
  const TempDir folder;
  const std::string name = "decoder.upsamples.4.residual.2.weight";
  const auto decoder_error = [&](const std::function<void(std::map<std::string, Tensor>&)>& change) {
    const Path path = damaged(folder, change);
    return message([&] { VaeDecoder decoder(open_vae(path)); });
  };
  EXPECT_EQ(decoder_error([](auto&) {}), "no error");
  EXPECT_EQ(decoder_error([&](auto& t) { t.erase("decoder.upsamples.4.shortcut.bias"); }),
            "\"decoder.upsamples.4.shortcut.bias\": the tensor is missing");
  EXPECT_EQ(decoder_error([&](auto& t) {
              t[name] = testing::f32({32, 8, 3, 3, 3});
            }),
            "\"" + name + "\": shape is [32, 8, 3, 3, 3], expected [32, 16, 3, 3, 3]");
  EXPECT_EQ(decoder_error([&](auto& t) {
              t[name] = Tensor(DType::kI8, {32, 16, 3, 3, 3});
            }),
            "\"" + name + "\": holds I8, expected F32, BF16 or F16");
  EXPECT_THAT(decoder_error([&](auto& t) { t[name].template as<uint16_t>()[5] = 0x7e00; }),
              HasSubstr("\"" + name + "\": element 5 is nan"));
  EXPECT_THAT(decoder_error([&](auto& t) { t.erase("decoder.middle.0.residual.2.weight"); }),
              HasSubstr("\"decoder.middle.0\": there is no such module"));
  EXPECT_THAT(decoder_error([&](auto& t) { t.erase("decoder.upsamples.7.resample.1.weight"); }),
              HasSubstr("\"decoder.head.0.gamma\": shape is [8, 1, 1, 1], expected [32, 1, 1, 1]"));
  EXPECT_THAT(decoder_error([&](auto& t) { t["conv2.weight"] = Tensor(DType::kF16, {}); }),
              HasSubstr("\"conv2.weight\""));
}

}  // namespace
}  // namespace wanslim
