// SPDX-License-Identifier: Apache-2.0
#include "models/encoder_layers.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/clip_names.h"
#include "models/umt5_names.h"

namespace wanslim {

std::vector<LayerPlan> spec_layers(std::span<const TensorSpec> specs, const WeightSource& weights) {
  std::vector<LayerPlan> out;
  for (const TensorSpec& spec : specs) {
    const auto refuse = [&](std::string what) {
      throw Error({.what = std::move(what), .where = fmt::format("\"{}\"", spec.name)});
    };
    if (!weights.has(spec.name)) refuse("the tensor is missing");
    if (const Shape got = weights.shape(spec.name); got != spec.shape)
      refuse(fmt::format("shape is {}, expected {}", to_string(got), to_string(spec.shape)));
    const DType dtype = weights.dtype(spec.name);
    if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF16)
      refuse(fmt::format("holds {}, expected F32, BF16 or F16", name_of(dtype)));
    if (spec.role == TensorRole::kLinearBias) {
      CHECK(!out.empty() && out.back().name == spec.layer);
      out.back().has_bias = true;
      out.back().bias_dtype = dtype;
      continue;
    }
    LayerPlan& layer = out.emplace_back();
    layer.linear = spec.role == TensorRole::kLinearWeight;
    layer.name = layer.linear ? spec.layer : spec.name;
    layer.shape = spec.shape;
    layer.dtype = dtype;
    layer.block = static_cast<int>(spec.block);
  }
  return out;
}

std::vector<LayerPlan> umt5_layers(const WeightSource& weights) {
  return spec_layers(umt5_tensor_specs(umt5_geometry(weights)), weights);
}

std::vector<LayerPlan> clip_layers(const WeightSource& weights) {
  return spec_layers(clip_tensor_specs(clip_geometry(weights)), weights);
}

}  // namespace wanslim
