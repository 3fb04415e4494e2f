// SPDX-License-Identifier: Apache-2.0
#include "models/synth.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "base/threads.h"
#include "io/testing.h"
#include "models/wan_checkpoint.h"
#include "models/wan_config.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

const WanGeometry kTiny = wan_variant("tiny").geometry;

std::vector<std::string> listing(const Path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

std::map<std::string, std::vector<std::byte>> contents(const Path& folder) {
  const WanCheckpoint c = open_wan(folder);
  std::map<std::string, std::vector<std::byte>> out;
  for (const WanTensor& t : c.tensors()) {
    const Tensor tensor = c.file().load(*t.stored);
    out[t.spec.name].assign(tensor.raw().begin(), tensor.raw().end());
  }
  return out;
}

std::string synth_error(const Path& folder, const SynthOptions& options, Progress& progress = no_progress()) {
  try {
    write_synth(folder, options, progress);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Synth, OpensAsTheVariantItWasAskedFor) {
  TempDir dir;
  for (const WanVariant& row : wan_variants()) {
    WanGeometry g = with_layers(row.geometry, 3);
    g.dim = 128;  // true structure, small sizes
    g.heads = 1;
    g.ffn_dim = 96;
    g.text_dim = 64;
    if (g.has_image_condition) g.image_dim = 64;
    for (Naming naming : {Naming::kOfficial, Naming::kDiffusers, Naming::kComfyUi}) {
      SCOPED_TRACE(fmt::format("{} {}", row.name, name_of(naming)));
      if (naming == Naming::kComfyUi && row.name == "vace-14B") continue;  // refused below
      const Path folder = dir / fmt::format("{}_{}", row.name, name_of(naming));
      const SynthResult result = write_synth(folder, {.geometry = g, .naming = naming}, no_progress());
      const WanCheckpoint c = open_wan(folder);
      WanGeometry expected = g;
      if (naming != Naming::kOfficial) expected.text_len = 512;  // stands in the official config.json alone
      EXPECT_EQ(c.geometry(), expected);
      EXPECT_EQ(c.naming(), naming);
      EXPECT_EQ(result.tensors, c.tensors().size());
      EXPECT_EQ(result.bytes, std::filesystem::file_size(result.files.at(0)));
    }
  }
  EXPECT_EQ(read_text(dir / "t2v-1.3B_official/config.json", 1000).substr(0, 28),
            "{\n  \"_class_name\": \"WanModel");
}

TEST(Synth, SameValuesForAnyShardsNamingAndThreads) {
  TempDir dir;
  WanGeometry g = kTiny;
  g.ffn_dim = 9000;  // several pieces for one tensor
  write_synth(dir / "a", {.geometry = g, .seed = 3}, no_progress());
  set_threads(5);
  write_synth(dir / "b", {.geometry = g, .naming = Naming::kDiffusers, .shards = 7, .seed = 3},
              no_progress());
  set_threads(1);
  write_synth(dir / "c", {.geometry = g, .naming = Naming::kComfyUi, .seed = 3}, no_progress());
  set_threads(0);
  write_synth(dir / "d", {.geometry = g, .seed = 4}, no_progress());
  const auto expected = contents(dir / "a");
  EXPECT_EQ(contents(dir / "b"), expected);
  EXPECT_EQ(contents(dir / "c"), expected);
  EXPECT_NE(contents(dir / "d"), expected);
  EXPECT_EQ(open_wan(dir / "b").file().files().size(), 7u);
}

TEST(Synth, ShortFloatsAreTheRoundedValues) {
  TempDir dir;
  write_synth(dir / "f32", {.geometry = kTiny}, no_progress());
  write_synth(dir / "bf16", {.geometry = kTiny, .dtype = SynthDType::kBF16}, no_progress());
  write_synth(dir / "f16", {.geometry = kTiny, .dtype = SynthDType::kF16}, no_progress());
  const WanCheckpoint f32 = open_wan(dir / "f32"), bf16 = open_wan(dir / "bf16"), f16 = open_wan(dir / "f16");
  for (const WanTensor& t : f32.tensors()) {
    const Tensor a = f32.load(t.spec.name), b = bf16.load(t.spec.name), c = f16.load(t.spec.name);
    ASSERT_EQ(b.dtype(), DType::kBF16);
    ASSERT_EQ(c.dtype(), DType::kF16);
    for (size_t i = 0; i < a.as<float>().size(); ++i) {
      ASSERT_EQ(b.as<uint16_t>()[i], float_to_bf16(a.as<float>()[i]));
      ASSERT_EQ(c.as<uint16_t>()[i], float_to_f16(a.as<float>()[i]));
    }
  }
}

TEST(Synth, MixedIsThePublishedMixture) {
  TempDir dir;
  WanGeometry vace = kTiny;
  vace.vace_layers = {0, 1};
  write_synth(dir / "t2v", {.geometry = kTiny, .dtype = SynthDType::kMixed}, no_progress());
  write_synth(dir / "vace", {.geometry = vace, .dtype = SynthDType::kMixed}, no_progress());
  const WanCheckpoint t = open_wan(dir / "t2v"), v = open_wan(dir / "vace");
  EXPECT_EQ(t.dtype("blocks.1.ffn.0.weight"), DType::kBF16);
  EXPECT_EQ(t.dtype("blocks.1.ffn.0.bias"), DType::kF32);
  EXPECT_EQ(t.dtype("head.head.weight"), DType::kF32);
  EXPECT_EQ(v.dtype("blocks.1.ffn.0.weight"), DType::kF32);
  EXPECT_EQ(v.dtype("vace_blocks.1.ffn.0.bias"), DType::kBF16);
  EXPECT_EQ(v.dtype("vace_patch_embedding.weight"), DType::kBF16);
}

TEST(Synth, ShardsAreAboutEqualAndNoneIsEmpty) {
  TempDir dir;
  for (int shards : {1, 2, 3, 10, 69}) {
    const Path folder = dir / std::to_string(shards);
    const SynthResult result = write_synth(folder, {.geometry = kTiny, .shards = shards}, no_progress());
    ASSERT_EQ(result.files.size(), static_cast<size_t>(shards));
    EXPECT_EQ(open_wan(folder).file().files().size(), static_cast<size_t>(shards));
    if (shards == 3) {
      EXPECT_EQ(result.files[1].filename(), "diffusion_pytorch_model-00002-of-00003.safetensors");
    }
    for (const Path& file : result.files) {
      const uint64_t size = std::filesystem::file_size(file);
      EXPECT_GT(size, 200u);
      if (shards <= 3) {
        EXPECT_LT(size * static_cast<uint64_t>(shards), result.bytes * 5 / 4);
      }
    }
  }
}

TEST(Synth, TouchesOnlyAnOwnCheckpointAndOnlyWhenTold) {
  TempDir dir;
  const Path folder = dir / "x";
  write_synth(folder, {.geometry = kTiny, .shards = 3}, no_progress());
  EXPECT_THAT(synth_error(folder, {.geometry = kTiny}), HasSubstr("the folder is not empty"));
  testing::write_text(folder / "notes.txt", "mine");
  write_synth(folder, {.geometry = with_layers(kTiny, 1), .overwrite = true}, no_progress());
  EXPECT_THAT(listing(folder),
              ElementsAre("config.json", "diffusion_pytorch_model.safetensors", "notes.txt"));
  EXPECT_EQ(open_wan(folder).geometry().layers, 1);
  testing::write_text(folder / "vae.safetensors", "mine");
  EXPECT_THAT(synth_error(folder, {.geometry = kTiny, .overwrite = true}),
              HasSubstr("the folder holds other weights: vae.safetensors"));
  EXPECT_THAT(synth_error(folder / "notes.txt", {.geometry = kTiny}), HasSubstr("cannot make the folder"));
}

TEST(Synth, RefusesWhatItCannotWrite) {
  TempDir dir;
  EXPECT_THAT(synth_error(dir / "x", {.geometry = kTiny, .shards = 70}),
              HasSubstr("70 shards for 69 tensors: expected 1 to 69"));
  EXPECT_THAT(synth_error(dir / "x", {.geometry = kTiny, .shards = -1}), HasSubstr("expected 1 to 69"));
  EXPECT_THAT(synth_error(dir / "x", {.geometry = kTiny, .naming = Naming::kComfyUi, .shards = 2}),
              HasSubstr("ComfyUI loads one file"));
  const WanGeometry vace = with_layers(wan_variant("vace-14B").geometry, 6);
  EXPECT_THAT(vace.vace_layers, ElementsAre(0, 5));
  EXPECT_THAT(synth_error(dir / "x", {.geometry = vace, .naming = Naming::kComfyUi}),
              HasSubstr("ComfyUI files have no config.json"));
  WanGeometry huge = wan_variant("t2v-14B").geometry;
  huge.layers = 1000;
  huge.dim = 1 << 20;
  huge.heads = 1 << 13;
  EXPECT_THAT(synth_error(dir / "x", {.geometry = huge, .shards = 1}), HasSubstr("free"));
  EXPECT_THROW(with_layers(kTiny, 0), Error);
  EXPECT_THROW(synth_dtype_from_name("fp16"), Error);
  EXPECT_EQ(synth_dtype_from_name("mixed"), SynthDType::kMixed);
}

TEST(Synth, AFailureLeavesNothingAndThePartsOfAKilledRunGo) {
  struct Failing : Progress {
    std::atomic<int> calls = 0;
    void advance(uint64_t, std::string_view) override {
      if (++calls == 40) throw Error({.what = "stopped", .kind = Error::Kind::kInterrupted});
    }
  } failing;
  TempDir dir;
  EXPECT_THAT(synth_error(dir / "x", {.geometry = kTiny, .shards = 2}, failing), HasSubstr("stopped"));
  EXPECT_THAT(listing(dir / "x"), IsEmpty());
  testing::write_text(dir / "x/.diffusion_pytorch_model-00001-of-00009.safetensors.part", "left behind");
  EXPECT_EQ(synth_error(dir / "x", {.geometry = kTiny}), "no error");
  EXPECT_THAT(listing(dir / "x"), ElementsAre("config.json", "diffusion_pytorch_model.safetensors"));
}

}  // namespace
}  // namespace wanslim
