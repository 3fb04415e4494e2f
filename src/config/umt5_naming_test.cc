// SPDX-License-Identifier: Apache-2.0
#include "config/umt5_naming.h"

#include <gtest/gtest.h>

namespace wanslim {
namespace {

TEST(Umt5Naming, every_module_in_every_scheme) {
  const char* const rows[][3] = {
      {"token_embedding.weight", "shared.weight", "token_embd.weight"},
      {"norm.weight", "encoder.final_layer_norm.weight", "enc.output_norm.weight"},
      {"blocks.23.norm1.weight", "encoder.block.23.layer.0.layer_norm.weight", "enc.blk.23.attn_norm.weight"},
      {"blocks.0.attn.q.weight", "encoder.block.0.layer.0.SelfAttention.q.weight", "enc.blk.0.attn_q.weight"},
      {"blocks.0.attn.o", "encoder.block.0.layer.0.SelfAttention.o", "enc.blk.0.attn_o"},
      {"blocks.1.norm2.weight", "encoder.block.1.layer.1.layer_norm.weight", "enc.blk.1.ffn_norm.weight"},
      {"blocks.1.ffn.gate.0.weight_scale", "encoder.block.1.layer.1.DenseReluDense.wi_0.weight_scale",
       "enc.blk.1.ffn_gate.weight_scale"},
      {"blocks.1.ffn.fc1.weight", "encoder.block.1.layer.1.DenseReluDense.wi_1.weight",
       "enc.blk.1.ffn_up.weight"},
      {"blocks.1.ffn.fc2.weight", "encoder.block.1.layer.1.DenseReluDense.wo.weight",
       "enc.blk.1.ffn_down.weight"},
      {"blocks.1.pos_embedding.embedding.weight",
       "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight", "enc.blk.1.attn_rel_b.weight"},
  };
  for (const auto& row : rows) {
    for (const Umt5Naming naming : {Umt5Naming::kOfficial, Umt5Naming::kTransformers, Umt5Naming::kGguf}) {
      const char* name = row[static_cast<size_t>(naming)];
      EXPECT_EQ(umt5_official_name(naming, name), row[0]) << name;
      EXPECT_EQ(umt5_name_in(naming, row[0]), name) << name;
    }
  }
}

TEST(Umt5Naming, other_names_are_of_no_module) {
  for (const char* name : {"blocks.0.attn.qq.weight", "blocks..attn.q", "blocks.0", "blocks.1234567.attn.q",
                           "norms.weight", "", "blocks.x.attn.q"})
    EXPECT_EQ(umt5_official_name(Umt5Naming::kOfficial, name), std::nullopt) << name;
}

TEST(Umt5Naming, published_sizes_have_a_name) {
  Umt5Geometry g{.vocabulary = 256384,
                 .dim = 4096,
                 .attention_dim = 4096,
                 .ffn_dim = 10240,
                 .heads = 64,
                 .layers = 24,
                 .buckets = 32};
  EXPECT_EQ(umt5_variant(g), "umt5-xxl");
  g.layers = 2;
  EXPECT_EQ(umt5_variant(g), "umt5-custom");
}

}  // namespace
}  // namespace wanslim
