// SPDX-License-Identifier: Apache-2.0
// A Linear layer over whatever weight the source has: float, or quantized in any scheme.
//
//   Linear q = Linear::load(source, "blocks.0.self_attn.q", Compute::kBF16);
//   q.forward(x, {.bf16 = out}, pass);
//
// Float weights: in kF32 all is float; in kBF16 weight, bias, input and output are bf16, sums float, one
// rounding after the bias (and one more after the activation). Quantized weights: nn/quant_linear.h.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gemm.h"
#include "nn/rows.h"
#include "nn/tap.h"
#include "tensor/weight_source.h"

namespace wanslim {

// What belongs to one pass through a model and not to its weights.
struct Pass {
  Tap* tap = nullptr;
  int64_t step = -1;  // number of the sampling step, for weights whose input scales depend on it
};

// Where a Linear puts y = activation(x W^T + b): one of `bf16` and `f32`, dense rows; `add`: f32 += y * gate.
struct LinearTarget {
  uint16_t* bf16 = nullptr;
  float* f32 = nullptr;
  bool add = false;
  const float* gate = nullptr;  // [out]; none: 1
  Activation activation = Activation::kNone;
};

class QuantLinear;

class Linear {
 public:
  Linear();
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  // Error naming the layer if its tensors are absent, misshapen or in a scheme that nothing executes.
  static Linear load(const WeightSource& source, std::string_view layer, Compute compute);
  // A float weight [out, in] in any float dtype; `bias` may be empty.
  static Linear from_float(std::string name, const Tensor& weight, const Tensor& bias, Compute compute);

  // x: rows of `in` in the dtype of the compute mode.
  void forward(const Rows& x, const LinearTarget& target, const Pass& pass = {}) const;

  // Its result depends on which rows come together: see QuantLinear.
  bool needs_all_rows() const;

  const std::string& name() const { return name_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  size_t bytes() const;

 private:
  // All but its weight.
  static Linear blank(std::string name, const Shape& weight, const Tensor& bias, Compute compute);
  void run(const Rows& x, const LinearTarget& target, const Pass& pass) const;

  std::string name_;
  Compute compute_ = Compute::kF32;
  int64_t in_ = 0, out_ = 0;
  PackedWeight weight_;
  std::vector<float> bias_;
  std::unique_ptr<QuantLinear> quantized_;
};

}  // namespace wanslim
