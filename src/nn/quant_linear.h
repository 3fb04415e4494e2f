// SPDX-License-Identifier: Apache-2.0
// The product with a quantized weight, in the arithmetic of the runtimes that execute its scheme:
//   int weight per channel, int activation   codes x codes in int32, exact; one float epilogue
//                                             y = sum * (token scale * channel scale) + bias
//   int weight, static activation            y = (sum + quant_bias) * (input scale * channel scale)
//   FP8, MX, NVFP4                           products of the rounded values, exact in bf16, summed in float
//   grouped int weight, int activation       codes of the activation x dequantized weight, summed in float
//   float activation                         dequantized weight, rounded to bf16 in kBF16
// In kBF16 inputs, channel scales and biases are bf16 as after the loading of the runtimes, and y is rounded
// once; in kF32 nothing but the codes is rounded, which shows the error of the scheme alone. Before all this
// the input is multiplied by `smooth` and rotated where the layer has it; a low-rank pair adds up * (down *
// x). Source: spec formats B4, C1-C6.
#pragma once
#include <vector>

#include "kernels/gemm.h"
#include "nn/rows.h"
#include "tensor/quantized.h"

namespace wanslim {

class QuantLinear {
 public:
  // Error naming the layer if nothing executes its scheme.
  QuantLinear(const QuantizedLinear& codes, Compute compute);

  // x in the dtype of the compute mode. `target` says where y goes, whether it is rounded, and the
  // activation; its scales and bias are set here. `step` chooses the row of scales that depend on the
  // sampling step.
  void forward(const Rows& x, const Epilogue& target, int64_t step) const;

  // A scale of the activation is taken from all rows of a call: they must not be cut into several calls.
  bool needs_all_rows() const;
  // Codes are multiplied with codes.
  bool is_integer() const { return product_ == Product::kInteger; }

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  size_t bytes() const;

 private:
  enum class Product : uint8_t { kInteger, kBF16, kF32 };

  // Codes are made of the rows as they come: nothing to prepare, nothing to add.
  bool takes_rows_as_they_are() const;

  void pack(const QuantizedLinear& codes);
  void set_up_static(const QuantizedLinear& codes);
  // [rows, in] float: smoothed and rotated input.
  void prepare(const Rows& x, RowBuffer& rows) const;
  // The NVFP4 scale of all rows; 0 where none is needed.
  float whole_scale(const Rows& x, RowBuffer& rows) const;
  void multiply(RowBuffer& rows, Epilogue epilogue, int64_t step, float whole) const;
  void quantize(const Rows& rows, int8_t* codes, float* scales) const;
  void multiply_integer(const Rows& rows, Epilogue epilogue, int64_t step) const;
  void round_activation(RowBuffer& rows, float whole, std::vector<float>& scales) const;
  void forward_low_rank(const Rows& x, RowBuffer& rows, const Epilogue& target, int64_t step,
                        float whole) const;

  std::string name_;
  Compute compute_;
  QuantScheme scheme_;
  Product product_ = Product::kF32;
  int64_t in_ = 0, out_ = 0;
  PackedWeight weight_, lora_down_, lora_up_;
  std::vector<float> column_scale_, bias_, smooth_;
  int hadamard_group_ = 0;
  // Static activations: one row per step, or one for all.
  std::vector<float> act_scale_, act_offset_;
  std::vector<std::vector<int32_t>> quant_bias_;
  std::vector<std::vector<float>> static_scale_;
};

}  // namespace wanslim
