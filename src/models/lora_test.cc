// SPDX-License-Identifier: Apache-2.0
#include "models/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "io/testing.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const WanGeometry kGeometry{.dim = 12, .ffn_dim = 20, .heads = 2, .layers = 2, .text_dim = 8, .freq_dim = 4};

using Tensors = std::map<std::string, Tensor>;

Tensor wave(Shape shape, float step) {
  Tensor out(DType::kF32, std::move(shape));
  for (size_t i = 0; i < out.as<float>().size(); ++i)
    out.as<float>()[i] = std::sin(step * static_cast<float>(i + 1));
  return out;
}
Tensor number(float value) {
  return f32({}, value);
}

class Lora : public ::testing::Test {
 protected:
  const std::vector<TensorSpec> model_ = tensor_specs(kGeometry);
  TempDir folder_;
  int files_ = 0;

  LoraFile file(const Tensors& tensors, double strength = 1) {
    const Path path = folder_ / ("lora" + std::to_string(++files_) + ".safetensors");
    write_safetensors(path, tensors);
    return {path, strength};
  }
  LoraSet open(const std::vector<LoraFile>& files) { return LoraSet::open(files, model_); }
  std::string complaint(const Tensors& tensors) {
    try {
      open({file(tensors)});
    } catch (const Error& e) {
      return e.text;
    }
    return "accepted";
  }
};

// The definition in double: weight + factor * up * down.
std::vector<double> merged(const Tensor& weight, const Tensor& up, const Tensor& down, double factor) {
  const int64_t out = up.dim(0), rank = up.count() / out, in = down.count() / rank;
  std::vector<double> result(weight.as<float>().begin(), weight.as<float>().end());
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < rank; ++r)
        sum += double{up.as<float>()[static_cast<size_t>(o * rank + r)]} *
               double{down.as<float>()[static_cast<size_t>(r * in + i)]};
      result[static_cast<size_t>(o * in + i)] += factor * sum;
    }
  }
  return result;
}

void expect_near(const Tensor& got, const std::vector<double>& want) {
  ASSERT_EQ(got.as<float>().size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got.as<float>()[i], want[i], 2e-6) << i;
}

struct Dialect {
  const char* name;
  const char *module, *down, *up;
  bool alpha;
};
const Dialect kDialects[] = {
    {"kohya", "lora_unet_blocks_1_self_attn_q", ".lora_down.weight", ".lora_up.weight", true},
    {"kohya without alpha", "lora_unet_blocks_1_self_attn_q", ".lora_down.weight", ".lora_up.weight", false},
    {"official, A and B", "diffusion_model.blocks.1.self_attn.q", ".lora_A.weight", ".lora_B.weight", false},
    {"official, down and up", "diffusion_model.blocks.1.self_attn.q", ".lora_down.weight", ".lora_up.weight",
     true},
    {"ComfyUI", "model.diffusion_model.blocks.1.self_attn.q", ".lora_down.weight", ".lora_up.weight", true},
    {"diffusers", "transformer.blocks.1.attn1.to_q", ".lora_A.weight", ".lora_B.weight", false},
    {"old diffusers", "transformer.blocks.1.attn1.to_q", ".lora.down.weight", ".lora.up.weight", true},
    {"PEFT", "base_model.model.blocks.1.attn1.to_q", ".lora_A.default.weight", ".lora_B.default.weight",
     false},
    {"bare official", "blocks.1.self_attn.q", ".lora_A.default.weight", ".lora_B.default.weight", false},
    {"LyCORIS", "lycoris_blocks_1_self_attn_q", ".lora_down.weight", ".lora_up.weight", true},
    {"kohya with an empty path", "lora_unet__blocks_1_self_attn_q", ".lora_down.weight", ".lora_up.weight",
     true},
    {"kohya over diffusers", "lora_transformer_blocks_1_attn1_to_q", ".lora_down.weight", ".lora_up.weight",
     true},
};

TEST_F(Lora, merges_every_dialect) {
  const Tensor weight = wave({12, 12}, 0.3f), down = wave({4, 12}, 0.7f), up = wave({12, 4}, 1.1f);
  for (const Dialect& d : kDialects) {
    SCOPED_TRACE(d.name);
    Tensors tensors;
    tensors[std::string(d.module) + d.down] = down.clone();
    tensors[std::string(d.module) + d.up] = up.clone();
    if (d.alpha) tensors[std::string(d.module) + ".alpha"] = number(2);
    const LoraSet set = open({file(tensors, 0.5)});
    EXPECT_TRUE(set.unmatched().empty());
    EXPECT_EQ(set.tensors(), 1u);
    ASSERT_TRUE(set.touches("blocks.1.self_attn.q.weight"));
    EXPECT_FALSE(set.touches("blocks.0.self_attn.q.weight"));
    Tensor got = weight.clone();
    set.apply("blocks.1.self_attn.q.weight", got);
    expect_near(got, merged(weight, up, down, 0.5 * (d.alpha ? 2.0 / 4 : 1)));
    Tensor other = weight.clone();
    set.apply("blocks.0.self_attn.q.weight", other);
    EXPECT_EQ(std::memcmp(other.raw().data(), weight.raw().data(), weight.bytes()), 0);
  }
}

TEST_F(Lora, applies_several_files_in_order_with_their_strengths) {
  const Tensor weight = wave({20, 12}, 0.3f), down = wave({2, 12}, 0.7f), up = wave({20, 2}, 1.1f);
  const Tensors one = {};
  Tensors tensors;
  tensors["diffusion_model.blocks.0.ffn.0.lora_A.weight"] = down.clone();
  tensors["diffusion_model.blocks.0.ffn.0.lora_B.weight"] = up.clone();
  const LoraSet set = open({file(tensors, 2), file(tensors, -0.5)});
  Tensor got = weight.clone();
  set.apply("blocks.0.ffn.0.weight", got);
  expect_near(got, merged(weight, up, down, 1.5));
}

TEST_F(Lora, adds_differences_of_weights_biases_norms_and_modulation) {
  Tensors tensors;
  tensors["diffusion_model.blocks.0.ffn.2.diff"] = wave({12, 20}, 0.1f);
  tensors["diffusion_model.blocks.0.ffn.2.diff_b"] = wave({12}, 0.2f);
  tensors["diffusion_model.blocks.0.norm3.diff"] = wave({12}, 0.3f);
  tensors["diffusion_model.blocks.0.self_attn.norm_q.w_norm"] = wave({12}, 0.4f);
  tensors["diffusion_model.blocks.0.diff_m"] = wave({1, 6, 12}, 0.5f);
  tensors["diffusion_model.head.modulation.diff"] = wave({1, 2, 12}, 0.6f);
  tensors["diffusion_model.patch_embedding.diff"] = wave({12, 16, 1, 2, 2}, 0.7f);
  const LoraSet set = open({file(tensors, 0.5)});
  EXPECT_TRUE(set.unmatched().empty());
  EXPECT_EQ(set.tensors(), 7u);
  const auto check = [&](const char* tensor, const Tensor& diff) {
    SCOPED_TRACE(tensor);
    Tensor got = f32(diff.shape(), 1, 0);
    set.apply(tensor, got);
    for (size_t i = 0; i < got.as<float>().size(); ++i)
      ASSERT_FLOAT_EQ(got.as<float>()[i], 1 + 0.5f * diff.as<float>()[i]);
  };
  check("blocks.0.ffn.2.weight", wave({12, 20}, 0.1f));
  check("blocks.0.ffn.2.bias", wave({12}, 0.2f));
  check("blocks.0.norm3.weight", wave({12}, 0.3f));
  check("blocks.0.self_attn.norm_q.weight", wave({12}, 0.4f));
  check("blocks.0.modulation", wave({1, 6, 12}, 0.5f));
  check("head.modulation", wave({1, 2, 12}, 0.6f));
  check("patch_embedding.weight", wave({12, 16, 1, 2, 2}, 0.7f));
}

TEST_F(Lora, adds_low_rank_parts_to_the_patch_convolution) {
  const Tensor weight = wave({12, 16, 1, 2, 2}, 0.3f), down = wave({3, 16, 1, 2, 2}, 0.7f),
               up = wave({12, 3, 1, 1, 1}, 1.1f);
  Tensors tensors;
  tensors["diffusion_model.patch_embedding.lora_down.weight"] = down.clone();
  tensors["diffusion_model.patch_embedding.lora_up.weight"] = up.clone();
  Tensor got = weight.clone();
  open({file(tensors)}).apply("patch_embedding.weight", got);
  expect_near(got, merged(weight, up, down, 1));
}

// DoRA in double; `rows`: a magnitude for every output.
std::vector<double> dora(const Tensor& weight, const std::vector<double>& direction, const Tensor& magnitude,
                         bool rows, double strength) {
  const int64_t out = weight.dim(0), in = weight.dim(1);
  std::vector<double> result;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < (rows ? in : out); ++k) {
        const double v = direction[static_cast<size_t>(rows ? o * in + k : k * in + i)];
        sum += v * v;
      }
      const double w = weight.as<float>()[static_cast<size_t>(o * in + i)];
      const double m = magnitude.as<float>()[static_cast<size_t>(rows ? o : i)];
      result.push_back(w + strength * (m * direction[static_cast<size_t>(o * in + i)] / std::sqrt(sum) - w));
    }
  }
  return result;
}

TEST_F(Lora, sets_magnitudes_of_rows_and_columns) {
  const Tensor weight = wave({20, 12}, 0.3f), down = wave({4, 12}, 0.7f), up = wave({20, 4}, 1.1f);
  struct Case {
    const char* ending;
    Shape shape;
    bool rows;
  };
  for (const Case& c :
       {Case{".dora_scale", {20, 1}, true}, Case{".dora_scale", {1, 12}, false},
        Case{".lora_magnitude_vector", {20}, true}, Case{".lora_magnitude_vector.weight", {20}, true},
        Case{".lora_magnitude_vector.default.weight", {20}, true}}) {
    SCOPED_TRACE(std::string(c.ending) + to_string(c.shape));
    Tensors tensors;
    tensors["blocks.1.ffn.0.lora_A.weight"] = down.clone();
    tensors["blocks.1.ffn.0.lora_B.weight"] = up.clone();
    tensors["blocks.1.ffn.0.alpha"] = number(2);
    tensors[std::string("blocks.1.ffn.0") + c.ending] = f32(c.shape, 0.5f, 0.25f);
    for (const double strength : {1.0, 0.3}) {
      Tensor got = weight.clone();
      open({file(tensors, strength)}).apply("blocks.1.ffn.0.weight", got);
      expect_near(got,
                  dora(weight, merged(weight, up, down, 0.5), f32(c.shape, 0.5f, 0.25f), c.rows, strength));
    }
  }
}

TEST_F(Lora, a_square_weight_takes_the_magnitude_by_its_shape) {
  const Tensor weight = wave({12, 12}, 0.3f), down = wave({4, 12}, 0.7f), up = wave({12, 4}, 1.1f);
  for (const auto& [shape, rows] : {std::pair<Shape, bool>{{12, 1}, true}, {{1, 12}, false}, {{12}, true}}) {
    Tensors tensors;
    tensors["lora_unet_blocks_0_cross_attn_o.lora_down.weight"] = down.clone();
    tensors["lora_unet_blocks_0_cross_attn_o.lora_up.weight"] = up.clone();
    tensors["lora_unet_blocks_0_cross_attn_o.dora_scale"] = f32(shape, 0.5f, 0.25f);
    Tensor got = weight.clone();
    open({file(tensors)}).apply("blocks.0.cross_attn.o.weight", got);
    expect_near(got, dora(weight, merged(weight, up, down, 1), f32(shape, 0.5f, 0.25f), rows, 1));
  }
}

TEST_F(Lora, takes_alpha_from_the_adapter_config) {
  const Tensor weight = wave({12, 12}, 0.3f), down = wave({4, 12}, 0.7f), up = wave({12, 4}, 1.1f);
  const auto apply = [&](const std::string& config, const std::map<std::string, std::string>& metadata = {},
                         const char* a = ".lora_A.weight", const char* b = ".lora_B.weight") {
    Tensors tensors;
    tensors[std::string("base_model.model.blocks.0.self_attn.k") + a] = down.clone();
    tensors[std::string("base_model.model.blocks.0.self_attn.k") + b] = up.clone();
    write_safetensors(folder_ / "adapter_model.safetensors", tensors, metadata);
    if (!config.empty()) write_text(folder_ / "adapter_config.json", config);
    Tensor got = weight.clone();
    open({{folder_ / "adapter_model.safetensors", 1}}).apply("blocks.0.self_attn.k.weight", got);
    return got;
  };
  expect_near(apply(""), merged(weight, up, down, 1));
  const std::map<std::string, std::string> packed = {
      {"lora_adapter_metadata", R"({"transformer.lora_alpha":12,"transformer.r":4})"}};
  expect_near(apply("", packed), merged(weight, up, down, 3));
  expect_near(apply(R"({"lora_alpha":8,"r":4})"), merged(weight, up, down, 2));
  expect_near(apply(R"({"lora_alpha":8,"r":4})", packed), merged(weight, up, down, 3));
  expect_near(apply(R"({"lora_alpha":8,"r":4,"use_rslora":true})"), merged(weight, up, down, 4));
  expect_near(apply(R"({"r":4,"alpha_pattern":{}})"), merged(weight, up, down, 1));
  expect_near(apply(R"({"lora_alpha":8})", {}, ".lora_down.weight", ".lora_up.weight"),
              merged(weight, up, down, 1));
  EXPECT_THROW(apply(R"({"lora_alpha":8,"alpha_pattern":{"q":1}})"), Error);
  EXPECT_THROW(apply("[]"), Error);
  EXPECT_THROW(apply("{"), Error);
}

TEST_F(Lora, says_what_a_file_holds) {
  Tensors tensors;
  for (const char* layer : {"blocks.0.self_attn.q", "blocks.1.self_attn.q"}) {
    const int64_t rank = layer[7] == '0' ? 2 : 3;
    tensors[std::string(layer) + ".lora_down.weight"] = wave({rank, 12}, 1);
    tensors[std::string(layer) + ".lora_up.weight"] = wave({12, rank}, 1);
  }
  tensors["blocks.0.self_attn.q.alpha"] = number(2);
  tensors["blocks.0.ffn.2.diff_b"] = wave({12}, 1);
  tensors["elsewhere"] = wave({12}, 1);
  const LoraSet set = open({file(tensors)});
  EXPECT_EQ(to_string(set.contents().at(0)),
            "2 low-rank updates (ranks 2 to 3, alpha in the file for 1), 1 difference");
  EXPECT_EQ(set.contents().at(0).keys, 7u);
  EXPECT_EQ(set.memory("blocks.0.ffn.2.bias"), 2u * 12 * 4);
  EXPECT_EQ(set.memory("blocks.1.self_attn.q.weight"), (144u + 2 * 36) * 4);
  EXPECT_EQ(set.memory("blocks.1.self_attn.k.weight"), 0u);
  EXPECT_TRUE(is_adapter(set.checkpoints()[0]));
}

TEST_F(Lora, reads_half_precision_files) {
  Tensors tensors;
  Tensor down(DType::kBF16, {1, 12}), up(DType::kF16, {12, 1});
  for (uint16_t& x : down.as<uint16_t>()) x = float_to_bf16(0.5f);
  for (uint16_t& x : up.as<uint16_t>()) x = float_to_f16(3.0f);
  tensors["blocks.0.self_attn.v.lora_A.weight"] = std::move(down);
  tensors["blocks.0.self_attn.v.lora_B.weight"] = std::move(up);
  Tensor got = f32({12, 12}, 1, 0);
  open({file(tensors)}).apply("blocks.0.self_attn.v.weight", got);
  for (float x : got.as<float>()) EXPECT_EQ(x, 2.5f);
}

TEST_F(Lora, names_keys_that_belong_to_nothing) {
  Tensors tensors;
  tensors["blocks.0.self_attn.q.lora_A.weight"] = wave({2, 12}, 1);
  tensors["blocks.0.self_attn.q.lora_B.weight"] = wave({12, 2}, 1);
  tensors["blocks.7.self_attn.q.lora_A.weight"] = wave({2, 12}, 1);
  tensors["lora_te_text_model_encoder_layers_0.lora_down.weight"] = wave({2, 12}, 1);
  tensors["blocks.0.self_attn.k_img.diff_b"] = wave({12}, 1);
  tensors["blocks.1.self_attn.q.alpha"] = number(1);
  tensors["step"] = number(1);
  std::vector<std::string> keys;
  const LoraSet set = open({file(tensors)});
  for (const UnmatchedKey& key : set.unmatched()) keys.push_back(key.key);
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre("blocks.7.self_attn.q.lora_A.weight",
                                                    "lora_te_text_model_encoder_layers_0.lora_down.weight",
                                                    "blocks.0.self_attn.k_img.diff_b",
                                                    "blocks.1.self_attn.q.alpha", "step"));
  EXPECT_EQ(set.tensors(), 1u);
}

TEST_F(Lora, refuses_what_it_cannot_merge) {
  const auto with = [&](const std::string& key, Tensor tensor, bool pair = true) {
    Tensors tensors;
    if (pair) {
      tensors["blocks.0.self_attn.q.lora_A.weight"] = wave({2, 12}, 1);
      tensors["blocks.0.self_attn.q.lora_B.weight"] = wave({12, 2}, 1);
    }
    tensors.insert_or_assign(key, std::move(tensor));
    return complaint(tensors);
  };
  const std::string q = "blocks.0.self_attn.q";
  EXPECT_THAT(with(q + ".lora_A.weight", wave({2, 13}, 1)),
              HasSubstr("do not make blocks.0.self_attn.q.weight [12, 12]"));
  EXPECT_THAT(with(q + ".lora_A.weight", wave({3, 12}, 1)), HasSubstr("shapes [3, 12] and [12, 2]"));
  EXPECT_THAT(with(q + ".lora_B.weight", wave({11, 2}, 1)), HasSubstr("do not make"));
  EXPECT_THAT(with(q + ".lora_B.weight", wave({24}, 1)), HasSubstr("do not make"));
  EXPECT_THAT(with(q + ".lora_A.weight", wave({0, 12}, 1)), HasSubstr("do not make"));
  EXPECT_THAT(with("lora_unet_blocks_0_self_attn_q.lora_down.weight", wave({2, 12}, 1)),
              HasSubstr("says the same of"));
  EXPECT_THAT(with("blocks.0.ffn.0.lora_A.weight", wave({2, 12}, 1)), HasSubstr("the up weight is missing"));
  EXPECT_THAT(with("blocks.0.ffn.0.lora_B.weight", wave({20, 2}, 1)),
              HasSubstr("the down weight is missing"));
  EXPECT_THAT(with("blocks.0.ffn.0.dora_scale", wave({20}, 1)), HasSubstr("a magnitude without a LoRA"));
  EXPECT_THAT(with(q + ".dora_scale", wave({13}, 1)), HasSubstr("fits neither the rows nor the columns"));
  EXPECT_THAT(with(q + ".alpha", wave({2}, 1)), HasSubstr("expected one number"));
  EXPECT_THAT(with(q + ".alpha", number(std::nanf(""))), HasSubstr("no finite number"));
  EXPECT_THAT(with(q + ".lokr_w1", wave({2}, 1)), HasSubstr("this is LoKr"));
  EXPECT_THAT(with(q + ".hada_w1_a", wave({2}, 1)), HasSubstr("this is LoHa"));
  EXPECT_THAT(with(q + ".lora_B.bias", wave({12}, 1)), HasSubstr("a bias of its own"));
  EXPECT_THAT(with("blocks.0.ffn.0.diff", wave({12, 20}, 1)), HasSubstr("has [20, 12]"));
  EXPECT_THAT(with("blocks.0.ffn.0.diff", Tensor(DType::kF8E4M3, {20, 12})), HasSubstr("holds F8_E4M3"));
  EXPECT_THAT(with("blocks.0.ffn.0.diff", wave({20, 13}, 1)),
              HasSubstr("blocks.0.ffn.0.weight has [20, 12]"));
  EXPECT_THAT(with("blocks.0.ffn.0.diff_b", wave({12}, 1)), HasSubstr("blocks.0.ffn.0.bias has [20]"));
  EXPECT_THAT(with("norm3.lora_A.weight", wave({2, 12}, 1), false), HasSubstr("none of its 1 tensors"));
  EXPECT_THAT(with("blocks.0.self_attn.norm_q.lora_A.weight", wave({2, 12}, 1)),
              HasSubstr("the up weight is missing"));
  EXPECT_THAT(with("unet.down_blocks.0.diff", wave({2}, 1), false), HasSubstr("of another model"));
}

TEST_F(Lora, refuses_values_that_are_not_finite_and_names_them) {
  Tensors tensors;
  tensors["blocks.0.self_attn.q.lora_A.weight"] = wave({2, 12}, 1);
  tensors["blocks.0.self_attn.q.lora_B.weight"] = wave({12, 2}, 1);
  tensors["blocks.0.self_attn.q.lora_B.weight"].as<float>()[7] = INFINITY;
  const LoraSet set = open({file(tensors)});
  Tensor weight = f32({12, 12});
  try {
    set.apply("blocks.0.self_attn.q.weight", weight);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("lora_B.weight\": element 7 is inf"));
  }
}

TEST_F(Lora, same_bits_for_any_threads) {
  const Tensor weight = wave({20, 12}, 0.3f);
  Tensors tensors;
  tensors["blocks.1.ffn.0.lora_A.weight"] = wave({4, 12}, 0.7f);
  tensors["blocks.1.ffn.0.lora_B.weight"] = wave({20, 4}, 1.1f);
  tensors["blocks.1.ffn.0.dora_scale"] = wave({20, 1}, 0.2f);
  const LoraSet set = open({file(tensors, 0.7)});
  Tensor one = weight.clone(), three = weight.clone();
  set_threads(1);
  set.apply("blocks.1.ffn.0.weight", one);
  set_threads(3);
  set.apply("blocks.1.ffn.0.weight", three);
  set_threads(0);
  EXPECT_EQ(std::memcmp(one.raw().data(), three.raw().data(), one.bytes()), 0);
}

// Zeros in bf16 for every tensor of the model.
struct Zeros : WeightSource {
  std::map<std::string, Shape, std::less<>> shapes;
  bool has(std::string_view t) const override { return shapes.contains(t); }
  Shape shape(std::string_view t) const override { return shapes.find(t)->second; }
  DType dtype(std::string_view) const override { return DType::kBF16; }
  Tensor load(std::string_view t) const override {
    Tensor out(DType::kBF16, shape(t));
    std::memset(out.raw().data(), 0, out.bytes());
    return out;
  }
};

TEST_F(Lora, source_gives_merged_weights_and_leaves_the_rest) {
  Zeros zeros;
  for (const TensorSpec& spec : model_) zeros.shapes[spec.name] = spec.shape;
  Tensors tensors;
  tensors["blocks.0.ffn.2.diff_b"] = wave({12}, 0.2f);
  const LoraSet set = open({file(tensors)});
  const LoraSource source(zeros, set);
  EXPECT_EQ(source.dtype("blocks.0.ffn.2.bias"), DType::kF32);
  EXPECT_EQ(source.load("blocks.0.ffn.2.bias").as<float>()[3], wave({12}, 0.2f).as<float>()[3]);
  EXPECT_EQ(source.dtype("blocks.1.ffn.2.bias"), DType::kBF16);
  EXPECT_EQ(source.load("blocks.1.ffn.2.bias").dtype(), DType::kBF16);
}

TEST(LoraArgument, splits_the_strength_off) {
  EXPECT_EQ(parse_lora_argument("a/b.safetensors").path, "a/b.safetensors");
  EXPECT_EQ(parse_lora_argument("a/b.safetensors").strength, 1);
  EXPECT_EQ(parse_lora_argument("a.safetensors:-0.75").strength, -0.75);
  EXPECT_EQ(parse_lora_argument("c:d.safetensors:2").path, "c:d.safetensors");
  for (const char* bad :
       {"a.safetensors:", "a.safetensors:x", "a.safetensors:1x", "a.safetensors:nan", "a:inf"}) {
    try {
      parse_lora_argument(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.parts.kind, Error::Kind::kUsage) << bad;
    }
  }
  TempDir folder;
  write_text(folder / "odd:name", "");
  EXPECT_EQ(parse_lora_argument((folder / "odd:name").string()).path, folder / "odd:name");
}

}  // namespace
}  // namespace wanslim
