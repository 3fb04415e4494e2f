// SPDX-License-Identifier: Apache-2.0
// How far one tensor is from another: latents, layer outputs. Sums in double, in a fixed order.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace wanslim {

// `a` is the reference. Values without meaning (0 / 0) are NaN, a perfect match has an infinite SQNR.
struct TensorError {
  double rel_l2 = 0;      // ||a - b|| / ||a||
  double cosine = 1;      // a . b / (||a|| ||b||)
  double sqnr_db = 0;     // 10 log10(||a||^2 / ||a - b||^2)
  double max_abs = 0;     // max |a - b|
  bool identical = true;  // bit for bit, but for the sign of zero
};

// 10 log10(ratio) for a ratio above 0; the same bits everywhere.
double decibels(double ratio);

// Same sizes.
TensorError tensor_error(std::span<const float> a, std::span<const float> b);

// Of latents [channels, frames, height, width]: one entry per latent frame.
std::vector<TensorError> frame_errors(const Tensor& a, const Tensor& b);

// Any float or integer tensor as float32. Error, naming `where`, for booleans and F8.
Tensor to_float(const Tensor& tensor, std::string_view where);

}  // namespace wanslim
