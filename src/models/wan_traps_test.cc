// SPDX-License-Identifier: Apache-2.0
// What a re-implementation of the transformer gets wrong most easily, one test each (spec wan-forward A3,
// formats D4).
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/reference_nn.h"
#include "kernels/testing.h"
#include "models/wan_testing.h"

namespace wanslim {
namespace {

using testing::DitItem;
using testing::open_model;
using testing::relative;

struct Fixture {
  std::shared_ptr<const WanCheckpoint> source;
  testing::Tensors tensors;
  WanDit dit;
  DitItem item;
  explicit Fixture(const std::string& model)
      : source(open_model(model)),
        tensors(testing::read_golden("official/dit/" + model + "/multi.safetensors")),
        dit(source, source->geometry(), {.compute = Compute::kF32}),
        item(tensors, 0, 1.0f) {}
};

Tensor padded(const Tensor& text, int64_t rows) {
  Tensor out(text.dtype(), {rows, text.dim(1)});
  std::memset(out.raw().data(), 0, out.bytes());
  std::memcpy(out.raw().data(), text.raw().data(), text.bytes());
  return out;
}

struct InputTap : Tap {
  std::string layer;
  std::vector<float> rows;
  explicit InputTap(std::string name) : layer(std::move(name)) {}
  void input(std::string_view name, const Rows& x) override {
    if (name == layer) rows.assign(x.f32(), x.f32() + x.count * x.width);
  }
};

std::vector<float> floats(const Tensor& tensor) {
  const Tensor wide = to_f32(tensor);
  return {wide.as<float>().begin(), wide.as<float>().end()};
}

TEST(WanTraps, All512ContextRowsAreAttendedPadsIncluded) {
  Fixture f("t2v");
  const Tensor merged = f.item.run(f.dit);
  const Tensor full = padded(*f.item.text, 512), fewer = padded(*f.item.text, 100);
  f.item.text = &full;
  EXPECT_LT(relative(merged, f.item.run(f.dit)), 1e-5);
  f.item.text = &fewer;  // 100 given rows: the pads up to 512 follow all the same
  EXPECT_LT(relative(merged, f.item.run(f.dit)), 1e-5);
  f.item.text = &f.tensors.at("in.context.0");
  WanPrompt prompt = f.dit.embed_prompt(*f.item.text, nullptr);
  EXPECT_EQ(prompt.context.pad_count, 512 - f.item.text->dim(0));
  prompt.context.pad_count = 1;
  EXPECT_GT(relative(f.dit.forward(f.item.input, prompt), merged), 1e-3);
}

// Rows so small that eps decides.
TEST(WanTraps, BlockNormsHaveTheEpsOfTheModel) {
  Fixture f("t2v");
  const WanGeometry& g = f.dit.geometry();
  WanPrompt prompt = f.dit.embed_prompt(*f.item.text, nullptr);
  WanState state = f.dit.start(f.item.input);
  const auto modulation = floats(f.source->load("blocks.0.modulation"));
  for (size_t i = 0; i < modulation.size(); ++i) state.e0[i] = -modulation[i];  // gates 0: x passes unchanged
  for (int64_t i = 0; i < state.x.count() * g.dim; ++i) state.x.f32()[i] *= 1e-3f;
  const std::vector<float> x(state.x.f32(), state.x.f32() + state.x.count() * g.dim);
  const auto run = [&](Tap& tap) {
    WanState copy{.e = state.e, .e0 = state.e0, .rope = state.rope};
    convert_rows(state.x, copy.x, DType::kF32);
    f.dit.run(0, *f.dit.block(0), copy, prompt, {.tap = &tap});
  };
  InputTap norm1("blocks.0.self_attn.q"), norm3("blocks.0.cross_attn.q");
  run(norm1), run(norm3);
  EXPECT_LT(relative_l2(norm1.rows, reference::layer_norm(x, g.dim, 1e-6, {}, {})), 1e-5);
  EXPECT_GT(relative_l2(norm1.rows, reference::layer_norm(x, g.dim, 1e-5, {}, {})), 1e-2);
  const auto weight = floats(f.source->load("blocks.0.norm3.weight")),
             bias = floats(f.source->load("blocks.0.norm3.bias"));
  EXPECT_LT(relative_l2(norm3.rows, reference::layer_norm(x, g.dim, 1e-6, weight, bias)), 1e-5);
  InputTap head("head.head");
  std::fill(state.e.begin(), state.e.end(), 0.0f);
  const auto head_modulation = floats(f.source->load("head.modulation"));
  f.dit.finish(state, {.tap = &head});
  auto expected = reference::layer_norm(x, g.dim, 1e-6, {}, {});
  for (size_t i = 0; i < expected.size(); ++i) {
    const size_t column = i % static_cast<size_t>(g.dim);
    expected[i] =
        expected[i] * (1 + head_modulation[static_cast<size_t>(g.dim) + column]) + head_modulation[column];
  }
  EXPECT_LT(relative_l2(head.rows, expected), 1e-5);
}

TEST(WanTraps, ImageNormsHaveEps1em5AndTheExactGelu) {
  Fixture f("i2v");
  const WanGeometry& g = f.dit.geometry();
  TestNumbers numbers(1);
  Tensor clip(DType::kF32, {g.image_tokens, g.image_dim});
  for (float& v : clip.as<float>()) v = 3e-3f * numbers.uniform();
  const auto load = [&](const std::string& name) { return floats(f.source->load("img_emb.proj." + name)); };
  const auto expected = [&](double eps, Activation gelu) {
    const auto linear = [&](const std::vector<double>& x, const std::string& name, int64_t in, int64_t out) {
      const std::vector<float> rows(x.begin(), x.end());
      auto y = reference::matmul(rows, load(name + ".weight"), g.image_tokens, out, in);
      const auto bias = load(name + ".bias");
      for (size_t i = 0; i < y.size(); ++i) y[i] += double{bias[i % bias.size()]};
      return y;
    };
    auto y = reference::layer_norm(clip.as<float>(), g.image_dim, eps, load("0.weight"), load("0.bias"));
    y = linear(y, "1", g.image_dim, g.image_dim);
    for (double& v : y) v = reference::activate(gelu, v);
    y = linear(y, "3", g.image_dim, g.dim);
    const std::vector<float> last(y.begin(), y.end());
    return reference::layer_norm(last, g.dim, eps, load("4.weight"), load("4.bias"));
  };
  WanPrompt prompt = f.dit.embed_prompt(*f.item.text, &clip);
  const std::vector<float> got(prompt.context.image.f32(),
                               prompt.context.image.f32() + g.image_tokens * g.dim);
  EXPECT_LT(relative_l2(got, expected(1e-5, Activation::kGeluErf)), 1e-5);
  EXPECT_GT(relative_l2(got, expected(1e-6, Activation::kGeluErf)), 1e-2);
  EXPECT_GT(relative_l2(got, expected(1e-5, Activation::kGeluTanh)), 3e-5);
}

TEST(WanTraps, TextAndFeedForwardHaveTheTanhGelu) {
  Fixture f("t2v");
  InputTap text("text_embedding.2"), before("text_embedding.0");
  f.dit.embed_prompt(*f.item.text, nullptr, {.tap = &text});
  f.dit.embed_prompt(*f.item.text, nullptr, {.tap = &before});
  const auto weight = floats(f.source->load("text_embedding.0.weight")),
             bias = floats(f.source->load("text_embedding.0.bias"));
  const int64_t in = f.dit.geometry().text_dim, out = f.dit.geometry().dim;
  const auto expected = [&](Activation gelu) {
    auto y = reference::matmul(before.rows, weight, static_cast<int64_t>(before.rows.size()) / in, out, in);
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = reference::activate(gelu, y[i] + double{bias[i % bias.size()]});
    return y;
  };
  EXPECT_LT(relative_l2(text.rows, expected(Activation::kGeluTanh)), 1e-6);
  EXPECT_GT(relative_l2(text.rows, expected(Activation::kGeluErf)), 3e-5);
}

// e = (shift, scale, gate) of self attention, then of the feed-forward layer.
TEST(WanTraps, ModulationIsInTheOfficialOrder) {
  Fixture f("t2v");
  const WanGeometry& g = f.dit.geometry();
  const auto modulation = floats(f.source->load("blocks.0.modulation"));
  WanPrompt prompt = f.dit.embed_prompt(*f.item.text, nullptr);
  // Everything zero but chunk `on`, which is one.
  const auto input_of = [&](const char* layer, int64_t on) {
    WanState state = f.dit.start(f.item.input);
    for (int64_t i = 0; i < 6 * g.dim; ++i) {
      state.e0[static_cast<size_t>(i)] = (i / g.dim == on ? 1.0f : 0.0f) - modulation[static_cast<size_t>(i)];
    }
    InputTap tap(layer);
    f.dit.run(0, *f.dit.block(0), state, prompt, {.tap = &tap});
    return tap.rows;
  };
  for (const auto& [layer, first] : {std::pair("blocks.0.self_attn.q", 0), std::pair("blocks.0.ffn.0", 3)}) {
    const auto plain = input_of(layer, first == 0 ? 5 : 1);  // a chunk that does not reach this input
    const auto shifted = input_of(layer, first), scaled = input_of(layer, first + 1);
    for (size_t i = 0; i < plain.size(); ++i) {
      ASSERT_NEAR(shifted[i], plain[i] + 1, 1e-5) << layer;
      ASSERT_NEAR(scaled[i], plain[i] * 2, 1e-5) << layer;
    }
  }
  EXPECT_GT(relative_l2(input_of("blocks.0.ffn.0", 2), input_of("blocks.0.ffn.0", 1)), 1e-2)
      << "gate of self attention";
}

TEST(WanTraps, TheHeadUsesEAndNotItsProjection) {
  Fixture f("t2v");
  WanState state = f.dit.start(f.item.input);
  const Tensor before = f.dit.finish(state);
  std::fill(state.e0.begin(), state.e0.end(), 7.0f);
  EXPECT_EQ(relative(f.dit.finish(state), before), 0);
  std::fill(state.e.begin(), state.e.end(), 7.0f);
  EXPECT_GT(relative(f.dit.finish(state), before), 0.1);
}

TEST(WanTraps, CrossAttentionKeysAreMadeOncePerPrompt) {
  Fixture f("t2v");
  WanPrompt prompt = f.dit.embed_prompt(*f.item.text, nullptr);
  const Tensor first = f.dit.forward(f.item.input, prompt);
  const WanCrossKeys* keys = prompt.keys[0].get();
  ASSERT_NE(keys, nullptr);
  const Tensor second = f.dit.forward(f.item.input, prompt);
  EXPECT_EQ(prompt.keys[0].get(), keys);
  EXPECT_EQ(relative(first, second), 0);
}

TEST(WanTraps, AVaceHintIsAddedAfterItsBlock) {
  Fixture f("vace");
  std::vector<std::string> order;
  for (int64_t u = 0; u < f.dit.units(); ++u) order.push_back(f.dit.unit_path(u));
  EXPECT_EQ(order,
            (std::vector<std::string>{"vace_blocks.0", "blocks.0", "blocks.1", "vace_blocks.1", "blocks.2"}));
  const Tensor loud = f.item.run(f.dit);
  f.item.input.vace_scale = 0;
  EXPECT_GT(relative(f.item.run(f.dit), loud), 1e-2);
}

TEST(WanDit, InputsThatDoNotFitAreNamed) {
  Fixture f("t2v");
  const auto message = [&](const WanInput& input) {
    try {
      f.dit.start(input);
    } catch (const Error& e) {
      return e.text;
    }
    return std::string("no error");
  };
  const Tensor odd(DType::kF32, {16, 1, 5, 4}), channels(DType::kF32, {15, 1, 4, 4}),
      extra(DType::kF32, {20, 1, 4, 4});
  const Tensor good(DType::kF32, {16, 1, 4, 4});
  EXPECT_EQ(message({.latent = &good}), "no error");
  EXPECT_NE(message({.latent = &odd}).find("[16, 1, 5, 4]"), std::string::npos);
  EXPECT_NE(message({.latent = &channels}).find("expected [16, 1, 4, 4]"), std::string::npos);
  EXPECT_NE(message({.latent = &good, .condition = &extra}).find("condition"), std::string::npos);
  EXPECT_NE(message({.latent = &good, .vace_context = &extra}).find("vace_context"), std::string::npos);
  EXPECT_THROW(f.dit.embed_prompt(Tensor(DType::kF32, {513, 128}), nullptr), Error);
  EXPECT_THROW(f.dit.embed_prompt(Tensor(DType::kF32, {3, 64}), nullptr), Error);
  EXPECT_THROW(f.dit.embed_prompt(*f.item.text, &extra), Error);
}

// Whatever the budget for blocks, the results are the same bytes; and what does not fit is not kept.
TEST(WanDit, StreamedBlocksGiveTheSameBytes) {
  for (const char* name : {"t2v", "vace"}) {
    Fixture f(name);
    const Tensor resident = f.item.run(f.dit);
    for (uint64_t budget : {uint64_t{1}, 2 * f.dit.block(0)->bytes(), 3 * f.dit.block(0)->bytes()}) {
      WanDit streamed(f.source, f.source->geometry(), {.compute = Compute::kF32, .block_budget = budget});
      for (int repeat = 0; repeat < 2; ++repeat) {
        const Tensor out = f.item.run(streamed);
        EXPECT_EQ(std::memcmp(out.raw().data(), resident.raw().data(), out.bytes()), 0) << name << budget;
      }
    }
  }
}

TEST(WanDit, SeveralInputsInOnePassGiveWhatEachGivesAlone) {
  Fixture f("t2v");
  const auto tensors = testing::read_golden("official/dit/t2v/batch2_pad.safetensors");
  const DitItem a(tensors, 0, 1.0f), b(tensors, 1, 1.0f);
  WanPrompt prompt_a = f.dit.embed_prompt(*a.text, nullptr), prompt_b = f.dit.embed_prompt(*b.text, nullptr);
  const WanInput inputs[] = {a.input, b.input};
  WanPrompt* const prompts[] = {&prompt_a, &prompt_b};
  const std::vector<Tensor> both = f.dit.forward(inputs, prompts);
  EXPECT_EQ(relative(both[0], a.run(f.dit)), 0);
  EXPECT_EQ(relative(both[1], b.run(f.dit)), 0);
}

}  // namespace
}  // namespace wanslim
