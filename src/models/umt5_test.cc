// SPDX-License-Identifier: Apache-2.0
#include "models/umt5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/threads.h"
#include "io/testing.h"
#include "models/umt5_math.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

const Path kGolden = Path(WANSLIM_TESTDATA) / "official/umt5";

double rel_l2(const Tensor& got_raw, const Tensor& want_raw) {
  const Tensor got = to_f32(got_raw), want = to_f32(want_raw);
  EXPECT_EQ(got.shape(), want.shape());
  double error = 0, size = 0;
  for (size_t i = 0; i < want.as<float>().size(); ++i) {
    const double d = double{got.as<float>()[i]} - double{want.as<float>()[i]};
    error += d * d;
    size += double{want.as<float>()[i]} * double{want.as<float>()[i]};
  }
  return std::sqrt(error / size);
}

// Prompts of a case: the ids under the mask.
std::vector<std::vector<int32_t>> prompts_of(const Checkpoint& c) {
  const Tensor ids = c.load(*c.find("in.ids")), mask = c.load(*c.find("in.mask"));
  std::vector<std::vector<int32_t>> out;
  for (int64_t row = 0; row < ids.dim(0); ++row) {
    out.emplace_back();
    for (int64_t i = row * ids.dim(1); i < (row + 1) * ids.dim(1); ++i) {
      if (mask.as<int32_t>()[static_cast<size_t>(i)] != 0)
        out.back().push_back(ids.as<int32_t>()[static_cast<size_t>(i)]);
    }
  }
  return out;
}

// Every fourth row, as the longest cases are stored.
Tensor thinned(const Tensor& all, const Shape& wanted) {
  if (all.shape() == wanted) return all.clone();
  Tensor out(all.dtype(), wanted);
  const size_t row = all.bytes() / static_cast<size_t>(all.dim(0));
  for (int64_t i = 0; i < wanted[0]; ++i)
    std::memcpy(out.raw().data() + static_cast<size_t>(i) * row,
                all.raw().data() + static_cast<size_t>(4 * i) * row, row);
  return out;
}

struct Case {
  const char* name;
  std::vector<double> bf16_noise;  // rel_l2 of the official bf16 against float, from case.json
};
const Case kCases[] = {{"pad512", {0.0132778, 0.00674783, 0.014238}},
                       {"full512", {0.0141028}},
                       {"short_mid", {0.00837146, 0.0108925}}};

void expect_golden(const WeightSource& weights, bool keep) {
  for (const Case& c : kCases) {
    const Checkpoint golden = Checkpoint::open(kGolden / "mini" / (std::string(c.name) + ".safetensors"));
    const auto prompts = prompts_of(golden);
    ASSERT_EQ(prompts.size(), c.bf16_noise.size());
    const auto f32 = Umt5Encoder(weights, {.compute = Compute::kF32, .keep_weights = keep}).encode(prompts);
    const auto bf16 = Umt5Encoder(weights, {.compute = Compute::kBF16, .keep_weights = keep}).encode(prompts);
    for (size_t i = 0; i < prompts.size(); ++i) {
      SCOPED_TRACE(std::string(c.name) + " prompt " + std::to_string(i));
      const Tensor want = golden.load(*golden.find("f32.out." + std::to_string(i)));
      const Tensor official = golden.load(*golden.find("bf16.out." + std::to_string(i)));
      EXPECT_LE(rel_l2(thinned(f32[i], want.shape()), want), 1e-5);
      EXPECT_EQ(bf16[i].dtype(), DType::kBF16);
      EXPECT_LE(rel_l2(thinned(bf16[i], want.shape()), want), 1.5 * c.bf16_noise[i]);
      // The same operations rounded at the same places: nearer to the official bf16 than that is to float.
      EXPECT_LE(rel_l2(thinned(bf16[i], want.shape()), official), 0.8 * c.bf16_noise[i]);
    }
  }
}

TEST(Umt5Encoder, gives_the_official_features_from_pth) {
  expect_golden(open_umt5(kGolden / "mini/models_t5_umt5-mini-enc-bf16.pth"), false);
}

TEST(Umt5Encoder, gives_the_official_features_from_safetensors_with_kept_weights) {
  expect_golden(open_umt5(kGolden / "mini/models_t5_umt5-mini-enc-bf16.safetensors"), true);
}

struct Recorder : Tap {
  std::map<std::string, Tensor, std::less<>> seen;
  bool wants_values() const override { return true; }
  void value(std::string_view name, const Rows& rows) override {
    Tensor t(rows.dtype, {rows.count, rows.width});
    std::memcpy(t.raw().data(), rows.data, t.bytes());
    seen.insert_or_assign(std::string(name), std::move(t));
  }
};

TEST(Umt5Encoder, equals_the_official_module_inside_the_blocks) {
  const NamedCheckpoint weights = open_umt5(kGolden / "mini/models_t5_umt5-mini-enc-bf16.pth");
  const Checkpoint golden = Checkpoint::open(kGolden / "mini/short_mid.safetensors");
  const auto prompts = prompts_of(golden);
  Recorder tap;
  Umt5Encoder(weights, {.compute = Compute::kF32}).encode(prompts, {.tap = &tap});
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    for (const std::string module : {"norm1", "attn", "norm2", "ffn", "out"}) {
      SCOPED_TRACE(block + module);
      const Tensor padded = golden.load(*golden.find("f32." + block + module));  // [2, 16, dim]
      const int64_t dim = padded.dim(2);
      Tensor want(DType::kF32, {static_cast<int64_t>(prompts[0].size() + prompts[1].size()), dim});
      size_t at = 0;
      for (size_t prompt = 0; prompt < 2; ++prompt) {
        const size_t bytes = prompts[prompt].size() * static_cast<size_t>(dim) * 4;
        std::memcpy(want.raw().data() + at, padded.raw().data() + prompt * 16 * static_cast<size_t>(dim) * 4,
                    bytes);
        at += bytes;
      }
      EXPECT_LE(rel_l2(tap.seen.at(block + module), want), 2e-6);
    }
  }
}

TEST(Umt5Encoder, same_bits_for_any_threads_and_any_company) {
  const NamedCheckpoint weights = open_umt5(kGolden / "mini/models_t5_umt5-mini-enc-bf16.pth");
  const std::vector<std::vector<int32_t>> prompts = {{5, 9, 200, 33, 1}, {7, 1}, {900, 900, 12, 1}};
  for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
    const Umt5Encoder encoder(weights, {.compute = compute});
    set_threads(1);
    const auto one = encoder.encode(prompts);
    set_threads(3);
    const auto three = encoder.encode(prompts);
    const auto alone = encoder.encode(std::span(prompts).subspan(2));
    set_threads(0);
    for (size_t i = 0; i < prompts.size(); ++i)
      EXPECT_EQ(std::memcmp(one[i].raw().data(), three[i].raw().data(), one[i].bytes()), 0);
    EXPECT_EQ(std::memcmp(one[2].raw().data(), alone[0].raw().data(), alone[0].bytes()), 0);
  }
}

TEST(Umt5Bucket, equals_the_official_table) {
  const Checkpoint golden = Checkpoint::open(kGolden / "buckets/buckets.safetensors");
  const Tensor rel = golden.load(*golden.find("rel")), bucket = golden.load(*golden.find("bucket"));
  for (size_t i = 0; i < rel.as<int32_t>().size(); ++i)
    ASSERT_EQ(umt5_bucket(rel.as<int32_t>()[i], 32), bucket.as<int32_t>()[i]) << rel.as<int32_t>()[i];
}

TEST(Umt5Gate, rounds_every_operation_in_bf16) {
  // x = 0.5546875: a GELU rounded once would give 0.39453125; rounding each operation gives what PyTorch
  // gives.
  RowBuffer one(DType::kBF16, 1, 3), gate(DType::kBF16, 1, 3);
  const float inputs[] = {0.5546875f, -1.6875f, 3.0f};
  for (size_t i = 0; i < 3; ++i)
    one.bf16()[i] = float_to_bf16(1.0f), gate.bf16()[i] = float_to_bf16(inputs[i]);
  umt5_gate(one, gate);
  for (size_t i = 0; i < 3; ++i) {
    const auto r = [](double v) { return double{round_bf16(static_cast<float>(v))}; };
    const double x = inputs[i], inner = r(x + r(static_cast<double>(0.044715f) * r(x * x * x)));
    const double bent = r(std::tanh(r(std::sqrt(2 / M_PI) * inner)));
    EXPECT_EQ(bf16_to_float(one.bf16()[i]), static_cast<float>(r(r(0.5 * x) * r(1 + bent)))) << x;
  }
}

// A source with one tensor changed.
class Changed : public WeightSource {
 public:
  Changed(const WeightSource& source, std::string name, Tensor value)
      : source_(source), name_(std::move(name)), value_(std::move(value)) {}
  bool has(std::string_view t) const override { return t == name_ ? !value_.empty() : source_.has(t); }
  Shape shape(std::string_view t) const override { return t == name_ ? value_.shape() : source_.shape(t); }
  DType dtype(std::string_view t) const override { return t == name_ ? value_.dtype() : source_.dtype(t); }
  Tensor load(std::string_view t) const override { return t == name_ ? value_.clone() : source_.load(t); }

 private:
  const WeightSource& source_;
  std::string name_;
  Tensor value_;
};

template <class F>
std::string complaint(F run) {
  try {
    run();
  } catch (const Error& e) {
    return e.text;
  }
  return "accepted";
}

TEST(Umt5Encoder, refuses_what_does_not_fit_and_names_it) {
  const NamedCheckpoint weights = open_umt5(kGolden / "mini/models_t5_umt5-mini-enc-bf16.pth");
  const auto with = [&](std::string name, Tensor value) {
    const Changed changed(weights, std::move(name), std::move(value));
    return complaint([&] { Umt5Encoder(changed).encode(std::vector<std::vector<int32_t>>{{1, 2}}); });
  };
  using testing::f32;
  EXPECT_THAT(with("blocks.1.attn.k.weight", {}), HasSubstr("\"blocks.1.attn.k.weight\" is missing"));
  EXPECT_THAT(with("token_embedding.weight", {}), HasSubstr("\"token_embedding.weight\" is missing"));
  EXPECT_THAT(with("blocks.0.ffn.fc2.weight", f32({128, 128})),
              HasSubstr("shape [128, 128], expected [128, 160]"));
  EXPECT_THAT(with("blocks.0.norm1.weight", f32({2, 64})), HasSubstr("expected 1 dimensions"));
  EXPECT_THAT(with("blocks.0.pos_embedding.embedding.weight", f32({32, 3})), HasSubstr("3 heads in 128"));
  Tensor nan = weights.load("blocks.1.ffn.fc2.weight");
  nan.as<uint16_t>()[5] = 0x7fc0;
  EXPECT_THAT(with("blocks.1.ffn.fc2.weight", std::move(nan)),
              HasSubstr("no longer finite after blocks.1.ffn"));
  const Umt5Encoder encoder(weights);
  for (const std::vector<int32_t>& ids : {std::vector<int32_t>{1664}, {-1}, {}}) {
    const std::vector<std::vector<int32_t>> prompts = {ids};
    EXPECT_NE(complaint([&] { encoder.encode(prompts); }), "accepted");
  }
  EXPECT_THAT(complaint([] { open_umt5(Path(WANSLIM_TESTDATA) / "official/pth/mixed/plain_dict.pth"); }),
              HasSubstr("no umT5 text encoder"));
}

TEST(Umt5Names, lead_to_every_scheme_and_back) {
  const Umt5Geometry g{
      .vocabulary = 8, .dim = 4, .attention_dim = 4, .ffn_dim = 6, .heads = 2, .layers = 12, .buckets = 32};
  const auto specs = umt5_tensor_specs(g);
  EXPECT_EQ(specs.size(), 12u * 10 + 2);
  for (const TensorSpec& spec : specs) {
    for (const Umt5Naming naming : {Umt5Naming::kOfficial, Umt5Naming::kTransformers, Umt5Naming::kGguf}) {
      const auto name = umt5_name_in(naming, spec.name);
      ASSERT_TRUE(name) << spec.name;
      EXPECT_EQ(umt5_official_name(naming, *name), spec.name);
    }
  }
  EXPECT_EQ(umt5_name_in(Umt5Naming::kGguf, "blocks.11.ffn.gate.0.weight"), "enc.blk.11.ffn_gate.weight");
  EXPECT_EQ(umt5_name_in(Umt5Naming::kGguf, "norm.weight"), "enc.output_norm.weight");
  EXPECT_EQ(umt5_official_name(Umt5Naming::kTransformers,
                               "encoder.block.3.layer.0.SelfAttention.relative_attention_bias.weight"),
            "blocks.3.pos_embedding.embedding.weight");
  EXPECT_EQ(umt5_official_name(Umt5Naming::kOfficial, "blocks.3.attn.q.weight_scale"),
            "blocks.3.attn.q.weight_scale");
  for (const char* name :
       {"blocks.x.norm1.weight", "blocks..norm1.weight", "blocks.1", "blocks.1.attn.qq.weight", ""})
    EXPECT_EQ(umt5_official_name(Umt5Naming::kOfficial, name), std::nullopt) << name;
}

}  // namespace
}  // namespace wanslim
