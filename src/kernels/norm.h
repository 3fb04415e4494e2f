// SPDX-License-Identifier: Apache-2.0
// Normalisation of rows [rows, width]. Sums are float in an order fixed by width and the SIMD target. Inputs
// and outputs are float or bf16 (uint16_t); all arithmetic is float.
#pragma once
#include <cstdint>

#include "kernels/rope.h"

namespace wanslim {

// y = (x - mean) / sqrt(variance + eps) [* weight + bias], rounded to bf16 if `round`;
// then y * (1 + scale) + shift where given (adaptive LayerNorm). Ba et al., arXiv 1607.06450.
struct LayerNorm {
  float eps = 1e-6f;
  const float *weight = nullptr, *bias = nullptr;  // [width], both or neither
  bool round = false;
  const float *scale = nullptr, *shift = nullptr;  // [width], both or neither
};
void layer_norm(const float* x, int64_t rows, int64_t width, const LayerNorm& norm, float* y);
void layer_norm(const float* x, int64_t rows, int64_t width, const LayerNorm& norm, uint16_t* y);

// y = x / sqrt(mean of squares + eps), rounded to bf16 if `round`; then y * weight. Zhang and Sennrich, arXiv
// 1910.07467. y may be x.
struct RmsNorm {
  float eps = 1e-6f;
  const float* weight = nullptr;  // [width]
  bool round = false;
  const RopeGrid* rope =
      nullptr;  // then rotated; row i is token first_token + i, width a multiple of its head_dim
  int64_t first_token = 0;
};
void rms_norm(const float* x, int64_t rows, int64_t width, const RmsNorm& norm, float* y);
void rms_norm(const uint16_t* x, int64_t rows, int64_t width, const RmsNorm& norm, uint16_t* y);

}  // namespace wanslim
