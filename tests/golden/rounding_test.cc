// SPDX-License-Identifier: Apache-2.0
// Awkward rows (zeros, subnormals, ties, powers of two, huge) through each quantizer of msModelSlim 26.1, in
// bf16 and in f32: codes and scales equal to the last bit.
#include <gtest/gtest.h>

#include "kernels/convert.h"
#include "kernels/minifloat.h"
#include "quant/fp8.h"
#include "quant/int_scale.h"
#include "quant/mx_exponent.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"
#include "tests/golden/golden.h"

namespace wanslim::golden {
namespace {

// A stored F32 or BF16 tensor as floats.
std::vector<float> floats(const Checkpoint& file, const std::string& name) {
  const Tensor tensor = load(file, name);
  CHECK(!tensor.empty());
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  if (tensor.dtype() == DType::kBF16) {
    widen_bf16(tensor.as<uint16_t>(), values);
  } else {
    values.assign(tensor.as<float>().begin(), tensor.as<float>().end());
  }
  return values;
}

struct Width {
  const char* prefix;
  Working working;
};
constexpr Width kWidths[] = {{"bf16", Working::kBf16}, {"f32", Working::kF32}};
constexpr size_t kColumns = 64;

TEST(GoldenRounding, Integers) {
  const Checkpoint file = Checkpoint::open(folder("rounding") / "rounding.safetensors");
  for (const Width& width : kWidths) {
    const std::vector<float> weight = floats(file, std::string(width.prefix) + "/weight");
    for (const auto& [quantizer, range] :
         {std::pair{"int8_minmax", kInt8Range}, std::pair{"int4_minmax", kInt4Range}}) {
      const std::string name = std::string(width.prefix) + "/" + quantizer;
      const std::vector<float> scales = floats(file, name + "/scale");
      const Tensor values = load(file, name + "/values");
      for (size_t r = 0; r < scales.size(); ++r) {
        const std::span<const float> row = std::span(weight).subspan(r * kColumns, kColumns);
        const float scale = reference_scale(absmax(row), range, width.working);
        EXPECT_EQ(scale, scales[r]) << name << " row " << r;
        std::vector<int8_t> codes(kColumns);
        reference_codes(row, scale, range, width.working, codes);
        const auto expected = values.as<int8_t>().subspan(r * kColumns, kColumns);
        EXPECT_TRUE(std::equal(codes.begin(), codes.end(), expected.begin())) << name << " row " << r;
      }
    }
  }
}

struct FloatQuantizer {
  const char* name;
  MiniFloat format;
  MiniRule bf16_rule, f32_rule;
  size_t block;
};
constexpr FloatQuantizer kFloatQuantizers[] = {
    {"fp8_minmax", kE4M3, MiniRule::kEvenBf16, MiniRule::kEven, kColumns},
    {"mxfp8_minmax", kE4M3, MiniRule::kAway, MiniRule::kAway, 32},
    {"mxfp4_minmax", kE2M1, MiniRule::kAway, MiniRule::kAway, 32},
    {"mxfp4_ceil_x", kE2M1, MiniRule::kAway, MiniRule::kAway, 32},
    {"mxfp4_fouroversix", kE2M1, MiniRule::kAway, MiniRule::kAway, 32},
};

// The exponent of a block, or the scale of a row.
float reference_value(const std::string& name, float absmax, Working working) {
  if (name == "fp8_minmax") return reference_fp8_scale(absmax, working);
  if (name == "mxfp8_minmax") return static_cast<float>(mxfp8_exponent(absmax, working));
  if (name == "mxfp4_minmax") return static_cast<float>(mxfp4_exponent(absmax, working));
  return static_cast<float>(mxfp4_exponent_ceil_x(absmax, 7.25f, working));
}

// `values` of the file are the elements before they become codes: those of FP8 are not yet rounded to it.
TEST(GoldenRounding, ShortFloats) {
  const Checkpoint file = Checkpoint::open(folder("rounding") / "rounding.safetensors");
  for (const Width& width : kWidths) {
    const std::vector<float> weight = floats(file, std::string(width.prefix) + "/weight");
    for (const FloatQuantizer& quantizer : kFloatQuantizers) {
      const std::string name = std::string(width.prefix) + "/" + quantizer.name;
      const std::vector<float> scales = floats(file, name + "/scale"),
                               values = floats(file, name + "/values");
      const bool is_fp8 = quantizer.block == kColumns, chooses = name.ends_with("fouroversix");
      const MiniRule rule = width.working == Working::kBf16 ? quantizer.bf16_rule : quantizer.f32_rule;
      for (size_t b = 0; b < scales.size(); ++b) {
        const std::span<const float> block = std::span(weight).subspan(b * quantizer.block, quantizer.block);
        const float largest = absmax(block);
        if (chooses) {
          const float six = static_cast<float>(mxfp4_exponent_top(largest, 6, width.working));
          const float four = static_cast<float>(mxfp4_exponent_top(largest, 4, width.working));
          EXPECT_TRUE(scales[b] == six || scales[b] == four) << name << " block " << b;
        } else {
          EXPECT_EQ(reference_value(quantizer.name, largest, width.working), scales[b])
              << name << " block " << b;
        }
        const float scale = is_fp8 ? scales[b] : mx_scale(static_cast<int>(scales[b]));
        std::vector<uint8_t> codes(block.size());
        minifloat_codes(block, block.size(), quantizer.format, rule, {&scale, 1}, codes);
        for (size_t i = 0; i < codes.size(); ++i) {
          const float expected = values[b * quantizer.block + i];
          const float actual = quantizer.format.max == 448 ? e4m3_to_float(codes[i]) : kFp4Values[codes[i]];
          EXPECT_EQ(actual, is_fp8 ? e4m3_to_float(float_to_e4m3(expected)) : expected) << name << " " << b;
        }
      }
    }
  }
}

}  // namespace
}  // namespace wanslim::golden
