// SPDX-License-Identifier: Apache-2.0
// What happens to each layer of a model, as plain data: quant/plan decides it, calib/walk carries it out,
// formats lay out files from it. All of it is known before the first weight is read.
#pragma once
#include <string>
#include <vector>

#include "tensor/quantized.h"

namespace wanslim {

struct LayerPlan {
  std::string
      name;  // a Linear's path "blocks.3.ffn.0", or the full name of a tensor that belongs to no Linear
  bool linear = false;  // then the tensors are name.weight and, with has_bias, name.bias
  bool has_bias = false;
  int block = -1;  // index of the transformer block (vace_blocks count on after blocks); -1: outside
  Shape shape;     // of the weight, or of the tensor
  DType dtype = DType::kF32;       // of the weight in the source
  DType bias_dtype = DType::kF32;  // of the bias in the source
  QuantScheme scheme;              // weight == kFloat: left in float
  int hadamard_group = 0;          // as in QuantizedLinear: how its input will be rotated
  int rotated_outputs = 0;         // channels of a head that are rotated by quant/head_rotation; 0: none.
  int rotated_inputs = 0;          // Nothing at run time depends on it: the o of an attention undoes its v
  int low_rank = 0;                // rank of the branch beside the codes; 0: none
  int step = -1;                   // index into Recipe::process of the entry that took it; -1: none
  std::string reason;              // for people: "process[0]: include \"*\"", "not inside a block", ...

  bool quantized() const { return scheme.weight != Encoding::kFloat; }
  // Names of the source tensors, official spelling.
  std::vector<std::string> tensors() const {
    if (!linear) return {name};
    if (!has_bias) return {name + ".weight"};
    return {name + ".weight", name + ".bias"};
  }
};

// A layer's values on their way to the formats: `quantized` if the plan says so, else `values` in the order
// of LayerPlan::tensors(), already in the dtype that they are stored in.
struct LayerValue {
  QuantizedLinear quantized;
  std::vector<Tensor> values;
};

}  // namespace wanslim
