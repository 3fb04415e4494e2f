// SPDX-License-Identifier: Apache-2.0
// How far quantized weights are from the float ones: SQNR = 10 log10( sum w^2 / sum (w - w')^2 ) in dB.
#pragma once
#include <string>
#include <vector>

#include "base/progress.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct LayerError {
  std::string layer;
  double sqnr_db = 0;  // infinity if there is no error
  double signal = 0, noise = 0;
};

// Squared sums of one Linear against its float weight (F32, BF16 or F16). The order of summation is fixed.
LayerError weight_error(const QuantizedLinear& quantized, const Tensor& weight);

struct WeightErrors {
  std::vector<LayerError> layers;          // as `linears` gives them
  std::vector<std::string> float_differs;  // tensors left float that are not the rounded float ones
  double total_sqnr_db = 0;
};

// Every Linear of `linears` that is quantized in `result`, and every tensor of `tensors` that is there in
// float.
WeightErrors compare_weights(const WeightSource& result, const WeightSource& model,
                             const std::vector<std::string>& linears, const std::vector<std::string>& tensors,
                             Progress& progress);

}  // namespace wanslim
