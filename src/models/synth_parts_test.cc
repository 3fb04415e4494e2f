// SPDX-License-Identifier: Apache-2.0
#include "models/synth_parts.h"

#include <gtest/gtest.h>

#include "io/testing.h"
#include "models/clip_vision.h"
#include "models/synth.h"
#include "models/umt5.h"
#include "models/umt5_tokenizer.h"
#include "models/vae_checkpoint.h"
#include "models/wan_checkpoint.h"
#include "models/wan_vae.h"

namespace wanslim {
namespace {

using testing::TempDir;

int64_t parameters(const SynthPart& part) {
  int64_t count = 0;
  for (const TensorSpec& spec : part.tensors) count += element_count(spec.shape);
  return count;
}

TEST(SynthParts, HaveThePublishedSizes) {
  const std::vector<SynthPart> parts = synth_parts(wan_variant("i2v-14B-480P").geometry);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parameters(parts[0]), 5'680'910'336);
  EXPECT_EQ(parameters(parts[1]), 126'892'531);
  EXPECT_EQ(parameters(parts[2]), 632'076'800);
  EXPECT_EQ(parts[0].dtype, DType::kBF16);
  EXPECT_EQ(synth_parts(wan_variant("t2v-1.3B").geometry).size(), 2u);
}

TEST(SynthParts, OpenAndRunTogether) {
  TempDir dir;
  WanGeometry g = wan_variant("tiny").geometry;
  g.in_dim = 36, g.has_image_condition = true, g.image_dim = 160;
  write_synth(dir.path(), {.geometry = g, .parts = true}, no_progress());
  EXPECT_EQ(open_wan(dir.path()).geometry(), g);

  const Umt5Tokenizer tokenizer = Umt5Tokenizer::open(dir / "google/umt5-xxl");
  const NamedCheckpoint text = open_umt5(dir.path());
  const Umt5Encoder encoder(text);
  EXPECT_LE(tokenizer.vocabulary(), encoder.geometry().vocabulary);
  const std::vector<int32_t> ids = tokenizer.encode("a cat, 镜头");
  EXPECT_EQ(ids.size(), 7u) << "mark and word, mark and word, comma, mark, two characters, the end";
  EXPECT_EQ(tokenizer.encode("é").size(), 4u) << "mark, two bytes, the end";
  const std::vector<std::vector<int32_t>> prompts = {ids};
  EXPECT_EQ(encoder.encode(prompts).at(0).shape(), (Shape{7, g.text_dim}));

  VaeDecoder decoder(open_vae(dir.path()));
  Tensor latent(DType::kF32, {g.out_dim, 2, 4, 4});
  for (float& x : latent.as<float>()) x = 0.5f;
  const Tensor video = decoder.decode(latent);
  EXPECT_EQ(video.shape(), (Shape{3, 5, 32, 32}));
  float least = 1, most = -1;
  for (float x : video.as<float>()) least = std::min(least, x), most = std::max(most, x);
  EXPECT_LT(least, most);

  const NamedCheckpoint pictures = open_clip(dir.path());
  EXPECT_EQ(ClipVision(pictures).width(), g.image_dim);
}

TEST(SynthParts, AreReplacedWithTheTransformerAndOnlyThen) {
  TempDir dir;
  const WanGeometry g = wan_variant("tiny").geometry;
  const SynthResult whole = write_synth(dir / "x", {.geometry = g, .parts = true}, no_progress());
  EXPECT_EQ(whole.files.size(), 1u);
  EXPECT_EQ(whole.beside.size(), 3u);
  write_synth(dir / "x", {.geometry = g, .overwrite = true}, no_progress());
  EXPECT_FALSE(std::filesystem::exists(dir / "x/Wan2.1_VAE.safetensors")) << "of the old checkpoint";
  EXPECT_THROW(
      write_synth(dir / "y", {.geometry = g, .naming = Naming::kComfyUi, .parts = true}, no_progress()),
      Error);
}

}  // namespace
}  // namespace wanslim
