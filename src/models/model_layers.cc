// SPDX-License-Identifier: Apache-2.0
#include "models/model_layers.h"

namespace wanslim {

std::vector<LayerPlan> model_layers(const WanCheckpoint& checkpoint) {
  std::vector<LayerPlan> out;
  for (const WanTensor& t : checkpoint.tensors()) {
    if (t.spec.role == TensorRole::kLinearBias) {
      // The weight of the same Linear stands right before it.
      CHECK(!out.empty() && out.back().name == t.spec.layer);
      out.back().has_bias = true;
      out.back().bias_dtype = t.stored->dtype;
      continue;
    }
    LayerPlan layer;
    layer.linear = t.spec.role == TensorRole::kLinearWeight;
    layer.name = layer.linear ? t.spec.layer : t.spec.name;
    layer.shape = t.spec.shape;
    layer.dtype = t.stored->dtype;
    if (t.spec.in_block())
      layer.block = static_cast<int>(t.spec.block + (t.spec.vace ? checkpoint.geometry().layers : 0));
    out.push_back(std::move(layer));
  }
  return out;
}

}  // namespace wanslim
