// SPDX-License-Identifier: Apache-2.0
#include "quant/ggml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "quant/ggml_pack.h"
#include "tensor/dequantize.h"
#include "tensor/ggml_blocks.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr Encoding kAll[] = {Encoding::kQ8_0, Encoding::kQ4_0, Encoding::kQ6_K, Encoding::kQ5_K,
                             Encoding::kQ4_K, Encoding::kQ3_K, Encoding::kQ2_K};

QuantScheme scheme_for(Encoding encoding) {
  QuantScheme scheme;
  scheme.weight = encoding;
  scheme.weight_granularity = Granularity::kBlock;
  return scheme;
}

LinearWeight linear_of(int64_t out, int64_t in) {
  LinearWeight linear{"blocks.0.ffn.2", Tensor(DType::kF32, {out, in}), {}};
  std::mt19937 random(17);
  for (float& x : linear.weight.as<float>()) x = static_cast<float>(random() / 2147483648.0 - 1) * 0.1f;
  return linear;
}

// Rows of any number of blocks: those of a long row are those of its parts.
TEST(Ggml, BlocksDoNotDependOnWhatStandsBesideThem) {
  const LinearWeight whole = linear_of(2, 768);
  for (Encoding encoding : kAll) {
    const QuantizedLinear q = quantize_ggml(whole, scheme_for(encoding));
    const size_t bytes =
        static_cast<size_t>(ggml_block(encoding).bytes * 256 / ggml_block(encoding).elements);
    for (size_t r = 0; r < 2; ++r) {
      for (size_t part = 0; part < 3; ++part) {
        LinearWeight alone{"part", Tensor(DType::kF32, {1, 256}), {}};
        std::copy_n(whole.weight.as<float>().begin() + static_cast<std::ptrdiff_t>(r * 768 + part * 256), 256,
                    alone.weight.as<float>().begin());
        const QuantizedLinear expected = quantize_ggml(alone, scheme_for(encoding));
        const auto actual = q.weight.as<uint8_t>().subspan((r * 3 + part) * bytes, bytes);
        EXPECT_TRUE(std::equal(actual.begin(), actual.end(), expected.weight.as<uint8_t>().begin()))
            << static_cast<int>(encoding) << " row " << r << " part " << part;
      }
    }
  }
}

TEST(Ggml, ErrorsFallWithTheBits) {
  const LinearWeight linear = linear_of(8, 512);
  struct Bound {
    Encoding encoding;
    double relative;  // rms of the error over rms of the weight
  };
  const Bound bounds[] = {{Encoding::kQ8_0, 0.0047}, {Encoding::kQ6_K, 0.015}, {Encoding::kQ5_K, 0.0275},
                          {Encoding::kQ4_K, 0.056},  {Encoding::kQ4_0, 0.062}, {Encoding::kQ3_K, 0.125},
                          {Encoding::kQ2_K, 0.24}};
  for (const Bound& bound : bounds) {
    const QuantizedLinear q = quantize_ggml(linear, scheme_for(bound.encoding));
    const Tensor values = dequantize(q);
    double error = 0, power = 0;
    for (size_t i = 0; i < 8 * 512; ++i) {
      error += std::pow(static_cast<double>(values.as<float>()[i] - linear.weight.as<float>()[i]), 2);
      power += std::pow(static_cast<double>(linear.weight.as<float>()[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / power), bound.relative) << static_cast<int>(bound.encoding);
    EXPECT_GT(std::sqrt(error / power), bound.relative * 0.8) << static_cast<int>(bound.encoding);
    EXPECT_EQ(static_cast<int64_t>(q.weight.bytes()), quantized_bytes(q.scheme, 8, 512));
  }
}

TEST(Ggml, ZerosAndConstantsAreExact) {
  for (float constant : {0.0f, 0.5f, -2.0f}) {
    LinearWeight linear = linear_of(1, 256);
    for (float& x : linear.weight.as<float>()) x = constant;
    for (Encoding encoding : kAll) {
      const Tensor values = dequantize(quantize_ggml(linear, scheme_for(encoding)));
      for (float x : values.as<float>()) {
        EXPECT_NEAR(x, constant, 2e-3f * std::fabs(constant)) << static_cast<int>(encoding);
      }
    }
  }
}

TEST(Ggml, WhatHalfPrecisionScalesCannotHoldIsRefused) {
  LinearWeight linear = linear_of(4, 256);
  linear.weight.as<float>()[600] = 1e9f;
  try {
    quantize_ggml(linear, scheme_for(Encoding::kQ4_K));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.text, ::testing::HasSubstr("blocks.0.ffn.2"));
    EXPECT_THAT(error.text, ::testing::HasSubstr("row 2"));
  }
}

TEST(Ggml, PackedFieldsDecodeToTheirFormula) {
  std::mt19937 random(23);
  struct Range {
    Encoding encoding;
    int code_bits, code_bias, scale_bits, scale_bias;
    bool has_offset;
  };
  const Range ranges[] = {{Encoding::kQ6_K, 6, 32, 8, 0, false},
                          {Encoding::kQ5_K, 5, 0, 6, 0, true},
                          {Encoding::kQ4_K, 4, 0, 6, 0, true},
                          {Encoding::kQ3_K, 3, 4, 6, 32, false},
                          {Encoding::kQ2_K, 2, 0, 4, 0, true}};
  for (const Range& range : ranges) {
    const size_t runs = range.encoding == Encoding::kQ4_K || range.encoding == Encoding::kQ5_K ? 8 : 16;
    std::vector<uint8_t> codes(256), scales(runs), offsets(runs);
    for (uint8_t& c : codes) c = static_cast<uint8_t>(random() % (1u << range.code_bits));
    for (uint8_t& s : scales) s = static_cast<uint8_t>(random() % (1u << range.scale_bits));
    for (uint8_t& o : offsets) o = static_cast<uint8_t>(random() % (1u << range.scale_bits));
    GgmlFields fields;
    fields.d = float_to_f16(0.01f);
    fields.m = float_to_f16(0.03f);
    fields.codes = codes;
    fields.scales = scales;
    fields.offsets = offsets;
    std::vector<uint8_t> block(static_cast<size_t>(ggml_block(range.encoding).bytes));
    pack_ggml_block(range.encoding, fields, block);
    std::vector<float> values(256);
    decode_ggml_block(range.encoding, block, values);
    const float d = f16_to_float(fields.d), m = range.has_offset ? f16_to_float(fields.m) : 0;
    for (size_t i = 0; i < 256; ++i) {
      const size_t run = i * runs / 256;
      const int scale = range.encoding == Encoding::kQ6_K ? static_cast<int8_t>(scales[run])
                                                          : scales[run] - range.scale_bias;
      const float expected = d * static_cast<float>(scale) * static_cast<float>(codes[i] - range.code_bias) -
                             m * static_cast<float>(offsets[run]);
      EXPECT_EQ(values[i], expected) << static_cast<int>(range.encoding) << " " << i;
    }
  }
}

}  // namespace
}  // namespace wanslim
