// SPDX-License-Identifier: Apache-2.0
// The floats that a QuantizedLinear stands for: plain loops, the reference that formats, eval and the tests
// hold everything else against.
#pragma once
#include <span>

#include "tensor/quantized.h"

namespace wanslim {

// Elements first, first + 1, ... of an F32, BF16 or F16 tensor. Another dtype is an Error.
void read_floats(const Tensor& tensor, size_t first, std::span<float> values);

// Row `row` of the stored matrix: codes times scales, nothing else. `values` has in_features(linear) floats.
void dequantize_row(const QuantizedLinear& linear, int64_t row, std::span<float> values);

// The stored matrix, F32 [out, in]: the weight of the smoothed and rotated Linear, without its low-rank pair.
Tensor dequantize_codes(const QuantizedLinear& linear);

// The weight of the plain float Linear that computes the same: codes times scales, rotation taken back, times
// `smooth` a column, plus lora_up * lora_down. F32 [out, in].
Tensor dequantize(const QuantizedLinear& linear);

int64_t in_features(const QuantizedLinear& linear);
int64_t out_features(const QuantizedLinear& linear);

// Values of the 16 codes of FP4 (E2M1): sign bit 8.
inline constexpr float kFp4Values[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};

// In place, for each group of `values`: multiplied by the regular Hadamard matrix of size `group`, a power of
// 4,
//   H4 = [1 1 1 -1; 1 1 -1 1; 1 -1 1 1; -1 1 1 1] / 2, Kronecker powers of it
// which is symmetric and its own inverse (ComfyUI's and stable-diffusion.cpp's convrot). Sums in double.
void regular_hadamard(std::span<float> values, int group);

}  // namespace wanslim
