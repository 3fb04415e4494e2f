// SPDX-License-Identifier: Apache-2.0
#include "tensor/dequantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tensor/ggml_blocks.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

template <class T>
Tensor tensor_of(DType dtype, Shape shape, const std::vector<T>& values) {
  Tensor tensor(dtype, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as<T>().begin());
  return tensor;
}

std::vector<float> floats(const Tensor& tensor) {
  return {tensor.as<float>().begin(), tensor.as<float>().end()};
}

QuantizedLinear int_linear() {
  QuantizedLinear q;
  q.scheme.weight = Encoding::kInt8;
  q.weight = tensor_of<int8_t>(DType::kI8, {2, 4}, {1, -2, 3, -128, 0, 5, 6, 127});
  q.scale = tensor_of<float>(DType::kF32, {2, 1}, {0.5f, 2});
  return q;
}

TEST(Dequantize, IntegersPerChannelGroupAndTensor) {
  QuantizedLinear q = int_linear();
  EXPECT_EQ(floats(dequantize(q)), (std::vector<float>{.5f, -1, 1.5f, -64, 0, 10, 12, 254}));
  q.scale = tensor_of<float>(DType::kF32, {2, 2}, {1, 10, 100, 1000});
  EXPECT_EQ(floats(dequantize(q)), (std::vector<float>{1, -2, 30, -1280, 0, 500, 6000, 127000}));
  q.scale = tensor_of<float>(DType::kF32, {1}, {3});
  EXPECT_EQ(floats(dequantize(q)), (std::vector<float>{3, -6, 9, -384, 0, 15, 18, 381}));
}

TEST(Dequantize, ShortFloatsWithPowersOfTwo) {
  QuantizedLinear q;
  q.scheme.weight = Encoding::kMxFp8;
  q.weight = Tensor(DType::kF8E4M3, {1, 64});
  for (size_t i = 0; i < 64; ++i) q.weight.as<uint8_t>()[i] = float_to_e4m3(static_cast<float>(i));
  q.scale = tensor_of<uint8_t>(DType::kU8, {1, 2}, {126, 130});
  const std::vector<float> values = floats(dequantize(q));
  EXPECT_EQ(values[3], 1.5f);
  EXPECT_EQ(values[32], 256);
  EXPECT_EQ(values[63], 512);  // 63 is not an e4m3 value: 64
}

TEST(Dequantize, Fp4NibblesLowFirstWithDualAndGlobalScales) {
  QuantizedLinear q;
  q.scheme.weight = Encoding::kMxFp4;
  q.weight = Tensor(DType::kU8, {1, 512});
  std::fill(q.weight.as<uint8_t>().begin(), q.weight.as<uint8_t>().end(), uint8_t{0x00});
  q.weight.as<uint8_t>()[0] = 0x97;    // 6, then -0.5
  q.weight.as<uint8_t>()[511] = 0xf1;  // 0.5, then -6
  q.scale = Tensor(DType::kU8, {1, 32});
  std::fill(q.scale.as<uint8_t>().begin(), q.scale.as<uint8_t>().end(), uint8_t{128});
  q.dual_scale = tensor_of<float>(DType::kF32, {1, 2}, {10, 0.25f});
  std::vector<float> values = floats(dequantize(q));
  ASSERT_EQ(values.size(), 1024u);
  EXPECT_EQ(values[0], 120);
  EXPECT_EQ(values[1], -10);
  EXPECT_EQ(values[1022], 0.25f);
  EXPECT_EQ(values[1023], -3);

  q.scheme.weight = Encoding::kNvFp4;
  q.scale = Tensor(DType::kF8E4M3, {1, 64});
  std::fill(q.scale.as<uint8_t>().begin(), q.scale.as<uint8_t>().end(), float_to_e4m3(3));
  q.dual_scale = tensor_of<float>(DType::kF32, {1}, {0.5f});
  values = floats(dequantize(q));
  EXPECT_EQ(values[0], 9);
  EXPECT_EQ(values[1023], -9);
}

// The matrix itself, by its definition.
float hadamard_entry(size_t row, size_t column, size_t size) {
  constexpr float kFour[4][4] = {{1, 1, 1, -1}, {1, 1, -1, 1}, {1, -1, 1, 1}, {-1, 1, 1, 1}};
  float entry = 1;
  for (; size > 1; size /= 4) {
    entry *= kFour[row % 4][column % 4] / 2;
    row /= 4, column /= 4;
  }
  return entry;
}

TEST(Dequantize, RegularHadamardIsItsMatrixAndItsOwnInverse) {
  for (size_t size : {4u, 16u, 64u, 256u}) {
    std::vector<float> values(2 * size), expected(2 * size);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * i % 61) - 30;
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t k = 0; k < size; ++k) {
        expected[i] += values[i / size * size + k] * hadamard_entry(k, i % size, size);
      }
    }
    std::vector<float> rotated = values;
    regular_hadamard(rotated, static_cast<int>(size));
    EXPECT_EQ(rotated, expected);
    regular_hadamard(rotated, static_cast<int>(size));
    EXPECT_EQ(rotated, values);
  }
}

TEST(Dequantize, WhatStandsAroundTheCodesIsTakenBack) {
  QuantizedLinear q = int_linear();
  const std::vector<float> plain = floats(dequantize(q));
  q.hadamard_group = 4;
  std::vector<float> expected = plain;
  regular_hadamard(expected, 4);
  EXPECT_EQ(floats(dequantize(q)), expected);
  EXPECT_EQ(floats(dequantize_codes(q)), plain);
  q.smooth = tensor_of<float>(DType::kF32, {4}, {1, 2, 4, 8});
  q.lora_down = tensor_of<float>(DType::kF32, {1, 4}, {1, 0, 0, -1});
  q.lora_up = tensor_of<uint16_t>(DType::kBF16, {2, 1}, {float_to_bf16(3), float_to_bf16(0.5f)});
  const float smooth[] = {1, 2, 4, 8}, down[] = {1, 0, 0, -1}, up[] = {3, 0.5f};
  for (size_t i = 0; i < 8; ++i) expected[i] = expected[i] * smooth[i % 4] + up[i / 4] * down[i % 4];
  EXPECT_EQ(floats(dequantize(q)), expected);
}

// Everything that dequantize() takes for granted.
TEST(Quantized, WhatDoesNotFitTogetherIsNamed) {
  const auto good = [] {
    QuantizedLinear q;
    q.scheme = {.weight = Encoding::kInt8, .weight_granularity = Granularity::kGroup, .group = 32};
    q.weight = Tensor(DType::kI8, {4, 64});
    q.scale = Tensor(DType::kF32, {4, 2});
    q.bias = Tensor(DType::kF32, {4});
    return q;
  };
  std::string why;
  EXPECT_TRUE(is_consistent(good(), &why)) << why;
  struct Damage {
    const char* complaint;
    void (*inflict)(QuantizedLinear& q);
  };
  const Damage damages[] = {
      {"no matrix", [](QuantizedLinear& q) { q.weight = Tensor(DType::kI8, {256}); }},
      {"the weight is U8",
       [](QuantizedLinear& q) {
         q.weight = Tensor(DType::kU8, {4, 64});
       }},
      {"size of the groups", [](QuantizedLinear& q) { q.scheme.group = 0; }},
      {"do not divide", [](QuantizedLinear& q) { q.scheme.group = 48; }},
      {"scale is [4, 1]",
       [](QuantizedLinear& q) {
         q.scale = Tensor(DType::kF32, {4, 1});
       }},
      {"scale is missing", [](QuantizedLinear& q) { q.scale = {}; }},
      {"bias is not", [](QuantizedLinear& q) { q.bias = Tensor(DType::kF32, {5}); }},
      {"bias is not", [](QuantizedLinear& q) { q.bias = Tensor(DType::kI8, {4}); }},
      {"smoothing", [](QuantizedLinear& q) { q.smooth = Tensor(DType::kF32, {4}); }},
      {"one half",
       [](QuantizedLinear& q) {
         q.lora_up = Tensor(DType::kF32, {4, 2});
       }},
      {"global scale",
       [](QuantizedLinear& q) {
         q.scheme = {.weight = Encoding::kNvFp4, .weight_granularity = Granularity::kBlock, .group = 16};
         q.weight = Tensor(DType::kU8, {4, 32});
         q.scale = Tensor(DType::kF8E4M3, {4, 4});
       }},
      {"dual scale",
       [](QuantizedLinear& q) {
         q.scheme = {.weight = Encoding::kMxFp4, .weight_granularity = Granularity::kDual, .group = 32};
         q.weight = Tensor(DType::kU8, {4, 256});
         q.scale = Tensor(DType::kU8, {4, 16});
         q.dual_scale = Tensor(DType::kF32, {4, 2});
       }},
  };
  for (const Damage& damage : damages) {
    QuantizedLinear q = good();
    damage.inflict(q);
    EXPECT_FALSE(is_consistent(q, &why)) << damage.complaint;
    EXPECT_NE(why.find(damage.complaint), std::string::npos) << why;
  }
}

TEST(Dequantize, PackedScalesComeBack) {
  SixBitPairs pairs;
  uint8_t scales[16];
  for (size_t i = 0; i < 8; ++i)
    pairs.scale[i] = static_cast<uint8_t>(i * 9), pairs.offset[i] = static_cast<uint8_t>(63 - i * 7);
  for (size_t i = 0; i < 16; ++i) scales[i] = static_cast<uint8_t>(i * 4 + i % 3);
  uint8_t packed[12];
  pack_six_bit_pairs(pairs, packed);
  const SixBitPairs back = unpack_six_bit_pairs(packed);
  EXPECT_TRUE(std::equal(pairs.scale, pairs.scale + 8, back.scale));
  EXPECT_TRUE(std::equal(pairs.offset, pairs.offset + 8, back.offset));
  uint8_t scales_back[16];
  pack_six_bit_scales(scales, packed);
  unpack_six_bit_scales(packed, scales_back);
  EXPECT_TRUE(std::equal(scales, scales + 16, scales_back));
}

}  // namespace
}  // namespace wanslim
