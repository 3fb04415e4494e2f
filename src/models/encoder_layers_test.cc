// SPDX-License-Identifier: Apache-2.0
#include "models/encoder_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "models/clip_names.h"
#include "models/clip_vision.h"
#include "models/umt5.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

const Path kData = Path(WANSLIM_TESTDATA) / "official";

std::set<std::string> linears(const std::vector<LayerPlan>& layers) {
  std::set<std::string> out;
  for (const LayerPlan& layer : layers) {
    if (layer.linear) out.insert(layer.name);
  }
  return out;
}

TEST(EncoderLayers, umt5_has_seven_linears_a_block) {
  const auto layers = umt5_layers(open_umt5(kData / "umt5/mini/models_t5_umt5-mini-enc-bf16.pth"));
  EXPECT_EQ(layers.size(), 2u + 2 * 10);
  const auto names = linears(layers);
  EXPECT_EQ(names.size(), 2u * 7);
  EXPECT_TRUE(names.contains("blocks.1.ffn.gate.0"));
  EXPECT_FALSE(names.contains("blocks.1.pos_embedding.embedding"));
  for (const LayerPlan& layer : layers) {
    EXPECT_FALSE(layer.has_bias) << layer.name;
    EXPECT_EQ(layer.dtype, DType::kBF16);
  }
}

TEST(EncoderLayers, clip_has_four_linears_a_layer_and_every_visual_tensor) {
  const NamedCheckpoint weights = open_clip(kData / "clip/mini/models_clip_mini.pth");
  const auto layers = clip_layers(weights);
  const auto names = linears(layers);
  EXPECT_EQ(names.size(), 3u * 4);
  EXPECT_TRUE(names.contains("visual.transformer.2.attn.to_qkv"));
  std::set<std::string> planned;
  for (const LayerPlan& layer : layers) {
    for (const std::string& tensor : layer.tensors()) planned.insert(tensor);
    EXPECT_EQ(layer.has_bias, layer.linear) << layer.name;
  }
  for (const StoredTensor& tensor : weights.file().tensors()) {
    if (!tensor.name.starts_with("visual.")) continue;
    EXPECT_TRUE(planned.contains(tensor.name)) << tensor.name;
  }
}

TEST(EncoderLayers, names_what_is_missing) {
  const NamedCheckpoint weights = open_umt5(kData / "umt5/mini/models_t5_umt5-mini-enc-bf16.pth");
  try {
    clip_layers(weights);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("\"visual.patch_embedding.weight\" is missing"));
  }
}

}  // namespace
}  // namespace wanslim
