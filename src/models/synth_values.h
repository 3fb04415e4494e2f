// SPDX-License-Identifier: Apache-2.0
// Weights that look trained, as a pure function: the value of an element depends on the seed, the official
// name of its tensor and its index there, on nothing else. Only exact integer arithmetic and single rounded
// products and square roots are used, so that the bits are the same on every machine.
//
// A weight is bell * column * row * tensor:
//   bell    sum of three uniform 16-bit numbers, variance 1, one in a thousand stretched 3 times and three in
//           100,000 8 times
//   column  0.75 to 1.25, one input channel in 256 heavy: 3 to 6
//   row     0.6 to 1.6, one output in 128 near zero (2^-14), one in 512 zero
//   tensor  0.5 to 1.5 over the square root of the inputs
// Norm weights are near 1, modulation and biases small.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "models/names.h"

namespace wanslim {

class SynthTensor {
 public:
  SynthTensor(uint64_t seed, const TensorSpec& spec);

  // Elements [first, first + out.size()) in row-major order.
  void fill(int64_t first, std::span<float> out) const;

 private:
  void fill_weight(int64_t first, std::span<float> out) const;
  void fill_around(float center, float width, int64_t first, std::span<float> out) const;
  float row_factor(int64_t row) const;
  void column_factors(std::span<float> out) const;

  TensorRole role_;
  uint64_t key_ = 0;
  int64_t rows_ = 1, columns_ = 1;
  float scale_ = 1;
};

}  // namespace wanslim
