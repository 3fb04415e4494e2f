// SPDX-License-Identifier: Apache-2.0
// A rotation between the v and o of an attention that nothing at run time has to know of: attention only
// takes averages of v's rows, so  (W_o R) sum_j p_j (R^T v_j) = W_o sum_j p_j v_j  for an orthogonal R of
// each head.
//   R = diag(d) H / sqrt(n), H the Sylvester Hadamard matrix of a head's n channels, d the signs that
//   msModelSlim's seed 1234 draws (spec msmodelslim 4.17)
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "quant/int_scale.h"
#include "quant/linear_weight.h"
#include "tensor/weight_source.h"

namespace wanslim {

// R as msModelSlim makes it, [n, n]: entries d_i * (-1)^popcount(i & k) / sqrt(n), rounded to the working
// dtype. n is a power of two.
std::vector<float> reference_rotation(size_t n, Working working);

// Each run of `head` values becomes value * R: sums in double, rounded once. `head` is a power of two that
// divides their number.
void rotate_heads(std::span<float> values, int head);

// v: rows of the weight and bias (outputs); o: columns (inputs). Weight and bias become F32. 0: not rotated.
void rotate_linear(LinearWeight& linear, int outputs, int inputs, Numerics numerics);

// A model whose Linears are seen rotated: what a rotated result is compared with. Layer -> channels of a
// head.
class RotatedSource : public WeightSource {
 public:
  // `model` must outlive it.
  RotatedSource(const WeightSource& model, std::map<std::string, int64_t> outputs,
                std::map<std::string, int64_t> inputs)
      : model_(model), outputs_(std::move(outputs)), inputs_(std::move(inputs)) {}
  bool has(std::string_view tensor) const override { return model_.has(tensor); }
  Shape shape(std::string_view tensor) const override { return model_.shape(tensor); }
  DType dtype(std::string_view tensor) const override { return model_.dtype(tensor); }
  Tensor load(std::string_view tensor) const override;

 private:
  const WeightSource& model_;
  std::map<std::string, int64_t> outputs_, inputs_;
};

}  // namespace wanslim
