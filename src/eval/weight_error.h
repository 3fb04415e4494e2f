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

// Elements of a tensor that are compared together: more than any of a transformer has.
inline constexpr int64_t kCompareSlice = int64_t{128} << 20;

// Every Linear of `linears` that is quantized in `result`, and every tensor of `tensors` that is there in
// float; tensors of more elements than `slice` in slices of rows.
WeightErrors compare_weights(const WeightSource& result, const WeightSource& model,
                             const std::vector<std::string>& linears, const std::vector<std::string>& tensors,
                             Progress& progress, int64_t slice = kCompareSlice);

}  // namespace wanslim
