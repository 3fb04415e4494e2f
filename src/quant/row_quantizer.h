// SPDX-License-Identifier: Apache-2.0
// Quantizes a Linear that arrives in slices of rows, so that each is read, hashed and rounded while it is in
// the processor's cache and no more than a slice of the source is held. The result is that of quantize_layer.
//
//   if (by_rows(layer, step, numerics)) {
//     RowQuantizer rows(layer, step, numerics);
//     if (rows.looks_first()) rows.look(slice) ...      // all of them
//     rows.add(slice) ...                               // in order
//     QuantizedLinear q = rows.finish(bias);
//   }
#pragma once
#include <optional>
#include <vector>

#include "config/recipe.h"
#include "quant/linear_weight.h"
#include "tensor/layer_plan.h"
#include "tensor/quantized.h"

namespace wanslim {

// Whether the codes of a row depend on that row and the layer's largest magnitude alone.
bool by_rows(const LayerPlan& layer, const ProcessStep& step, Numerics numerics);

class RowQuantizer {
 public:
  // All three outlive it. `energies` as in LinearWeight.
  RowQuantizer(const LayerPlan& layer, const ProcessStep& step, Numerics numerics,
               std::vector<float> energies = {});
  // Whether it must see the largest magnitude of all rows before the first is added.
  bool looks_first() const { return looks_first_; }
  void look(Tensor&& rows);
  // The next rows, [rows, in] in the dtype of the checkpoint. Throws what quantize_layer throws.
  void add(Tensor&& rows);
  // After the last row; `bias` is empty if there is none.
  QuantizedLinear finish(Tensor&& bias);

 private:
  const LayerPlan& layer_;
  const ProcessStep& step_;
  const Numerics numerics_;
  std::vector<float> energies_;
  bool looks_first_ = false;
  int64_t seen_ = 0, rows_ = 0;  // looked at, added
  std::optional<float> absmax_ = {};
  QuantizedLinear whole_ = {};
};

}  // namespace wanslim
