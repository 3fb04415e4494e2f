// SPDX-License-Identifier: Apache-2.0
// Norm weights from a source, and norms into rows of the compute dtype.
#pragma once
#include <string_view>
#include <vector>

#include "kernels/norm.h"
#include "nn/rows.h"
#include "tensor/weight_source.h"

namespace wanslim {

// A small parameter in any float dtype, as floats. Error naming it if it does not have `count` elements.
std::vector<float> load_parameter(const WeightSource& source, std::string_view tensor, int64_t count);

// Weight and bias of an affine LayerNorm.
struct NormParameters {
  std::vector<float> weight, bias;
  static NormParameters load(const WeightSource& source, std::string_view layer, int64_t width);
};

// y = layer_norm(x) in `dtype`; x is float.
void normalize(const Rows& x, const LayerNorm& norm, DType dtype, RowBuffer& y);

// x = rms_norm(x).
void normalize_rms(RowBuffer& x, const RmsNorm& norm);

}  // namespace wanslim
