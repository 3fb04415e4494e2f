// SPDX-License-Identifier: Apache-2.0
// What the integer methods share: a scale for every run of a row (the row or its groups), codes against it.
#pragma once
#include <functional>
#include <span>

#include "quant/int_scale.h"
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// One run of weights that shares a scale. `first` is the column of its first value.
struct IntRun {
  int64_t row = 0, first = 0;
  std::span<const float> values = {};
  float absmax = 0;
};

inline CodeRange code_range(const QuantScheme& scheme) {
  return scheme.weight == Encoding::kInt4 ? kInt4Range : kInt8Range;
}

// kInt8 or kInt4, kChannel or kGroup. `choose` returns the scale of a run, positive; called from several
// threads. Codes as the numerics round: compat in bf16 (reference_codes), precise to nearest.
QuantizedLinear quantize_int_rows(const LinearWeight& linear, const QuantScheme& scheme, Numerics numerics,
                                  const std::function<float(const IntRun&)>& choose);

}  // namespace wanslim
