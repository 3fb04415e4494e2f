// SPDX-License-Identifier: Apache-2.0
// In compat every quantized Linear has the bytes that msModelSlim 26.1 wrote for the same model and recipe.
#include <gtest/gtest.h>

#include "tensor/dequantize.h"
#include "tests/golden/golden.h"

namespace wanslim::golden {
namespace {

using E = Encoding;
using G = Granularity;

SideConfig searched(SideConfig config) {
  config.options.enable_search = true;
  return config;
}

struct Case {
  const char* folder;
  const char* file;
  SideConfig activation, weight;
  const char* layers = "blocks.";  // those that start so
};

const SideConfig kFloat = side(E::kFloat, G::kTensor, "none");
const SideConfig kInt8Token = side(E::kInt8, G::kToken, "minmax");
const SideConfig kInt8 = side(E::kInt8, G::kChannel, "minmax");
const SideConfig kFp8Token = side(E::kFp8E4M3, G::kToken, "minmax");
const SideConfig kMx8 = side(E::kMxFp8, G::kBlock, "minmax");
const SideConfig kMx8Round = side(E::kMxFp8, G::kBlock, "mse_round");
const SideConfig kMx4 = side(E::kMxFp4, G::kBlock, "minmax");
const SideConfig kCeilX = side(E::kMxFp4, G::kBlock, "ceil_x");
const SideConfig kDual = side(E::kMxFp4, G::kDual, "dualscale");

const Case kCases[] = {
    {"w8a8_dynamic_practice", "weight_w8a8_dynamic", kInt8Token, kInt8},
    {"w8a8_dynamic_all", "weight_w8a8_dynamic", kInt8Token, kInt8},
    {"w8a8_dynamic_braces", "weight_w8a8_dynamic", kInt8Token, kInt8},
    {"w8a16", "weights", kFloat, kInt8},
    {"wfp8afp8", "weights", kFp8Token, side(E::kFp8E4M3, G::kChannel, "minmax")},
    {"w8a8_mxfp8_minmax", "weight_w8a8_mxfp8", kMx8, kMx8},
    {"w8a8_mxfp8_mse_round", "weight_w8a8_mxfp8", kMx8, kMx8Round},
    {"w4a8_mx", "weights", kMx8, kMx4},
    {"w4a4_mxfp4_minmax", "weight_w4a4_mxfp4", kMx4, kMx4},
    {"w4a4_mxfp4_ceil_x", "weight_w4a4_mxfp4", kMx4, kCeilX},
    {"w4a4_mxfp4_ceil_x_search", "weight_w4a4_mxfp4", kMx4, searched(kCeilX)},
    {"w4a4_mxfp4_fouroversix", "weight_w4a4_mxfp4", kMx4, side(E::kMxFp4, G::kBlock, "fouroversix")},
    {"w4a4_mxfp4_dualscale", "weight_w4a4_mxfp4_dualscale", kDual, kDual},
    {"mixed_mxfp8_mxfp4", "weight_w4a4_mxfp4", kMx8, kMx8Round, "blocks.0."},
    {"mixed_mxfp8_mxfp4", "weight_w4a4_mxfp4", kMx4, searched(kCeilX), "blocks.1."},
};

// Layers of a golden file: those with a weight_scale.
std::vector<std::string> quantized_layers(const Checkpoint& golden, const std::string& prefix) {
  std::vector<std::string> names;
  for (const StoredTensor& stored : golden.tensors()) {
    const std::string suffix = ".weight_scale";
    if (stored.name.ends_with(suffix) && stored.name.starts_with(prefix)) {
      names.push_back(stored.name.substr(0, stored.name.size() - suffix.size()));
    }
  }
  return names;
}

TEST(GoldenWeights, EveryQuantizedLinearIsByteIdentical) {
  const Checkpoint model = Checkpoint::open(folder("model"));
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.folder);
    const Checkpoint golden = output(c.folder, c.file);
    const std::vector<std::string> layers = quantized_layers(golden, c.layers);
    EXPECT_GE(layers.size(), 2u);
    for (const std::string& name : layers) {
      const QuantizedLinear q =
          quantize_linear(linear(model, name), c.activation, c.weight, Numerics::kCompat);
      expect_equal(q.weight, load(golden, name + ".weight"), name + ".weight");
      expect_equal(q.scale, load(golden, name + ".weight_scale"), name + ".weight_scale");
      expect_equal(q.bias, load(golden, name + ".bias"), name + ".bias");
      if (!q.dual_scale.empty()) {
        expect_equal(q.dual_scale, load(golden, name + ".weight_dual_scale"), name + ".weight_dual_scale");
      }
    }
  }
}

// Its saver packs two rows into one byte, the even row low.
TEST(GoldenWeights, W4A8CodesAndScales) {
  const Checkpoint model = Checkpoint::open(folder("model")), golden = output("w4a8", "weights");
  for (const std::string& name : quantized_layers(golden, "blocks.")) {
    const QuantizedLinear q = quantize_linear(linear(model, name), kInt8Token,
                                              side(E::kInt4, G::kChannel, "minmax"), Numerics::kCompat);
    expect_equal(q.scale, load(golden, name + ".weight_scale"), name + ".weight_scale");
    const Tensor packed = load(golden, name + ".weight");
    ASSERT_EQ(packed.count() * 2, q.weight.count());
    const size_t in = static_cast<size_t>(packed.dim(1));
    size_t different = 0;
    for (size_t i = 0; i < static_cast<size_t>(packed.count()); ++i) {
      const size_t row = i / in * 2, column = i % in;
      const int low = q.weight.as<int8_t>()[row * in + column] & 15;
      const int high = q.weight.as<int8_t>()[(row + 1) * in + column] & 15;
      different += packed.as<uint8_t>()[i] != (low | high << 4);
    }
    EXPECT_EQ(different, 0u) << name;
  }
}

// Squared error against the float checkpoint.
double error_of(const LinearWeight& original, const QuantizedLinear& q) {
  const Tensor values = dequantize(q);
  double sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(values.count()); ++i) {
    const double e =
        static_cast<double>(values.as<float>()[i]) - static_cast<double>(original.weight.as<float>()[i]);
    sum += e * e;
  }
  return sum;
}

TEST(GoldenWeights, PreciseNeverLosesAgainstCompatOnAnyLayer) {
  const Checkpoint model = Checkpoint::open(folder("model"));
  SideConfig int4_groups = side(E::kInt4, G::kGroup, "minmax");
  int4_groups.options.group_size = 32;
  std::vector<SideConfig> weights = {side(E::kInt4, G::kChannel, "minmax"), int4_groups,
                                     side(E::kFp8E4M3, G::kTensor, "minmax")};
  for (const Case& c : kCases) weights.push_back(c.weight);
  for (const SideConfig& weight : weights) {
    for (const char* layer : {"self_attn.q", "self_attn.o", "cross_attn.k", "ffn.0", "ffn.2"}) {
      for (const char* block : {"blocks.0.", "blocks.1."}) {
        const LinearWeight original = linear(model, std::string(block) + layer);
        if (weight.granularity == G::kDual && original.in() % 512 != 0) continue;
        const auto run = [&](Numerics numerics) {
          return error_of(original, quantize_linear(linear(model, original.name), kFloat, weight, numerics));
        };
        const double precise = run(Numerics::kPrecise), compat = run(Numerics::kCompat);
        EXPECT_LE(precise, compat) << weight.method << " of " << original.name;
        EXPECT_GT(precise, 0);
      }
    }
  }
}

}  // namespace
}  // namespace wanslim::golden
