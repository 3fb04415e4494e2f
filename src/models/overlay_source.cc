// SPDX-License-Identifier: Apache-2.0
#include "models/overlay_source.h"

#include "base/error.h"
#include "models/names.h"
#include "tensor/dequantize.h"

namespace wanslim {

std::shared_ptr<const WeightSource> overlay(std::shared_ptr<const WeightSource> model,
                                            std::shared_ptr<const WeightSource> quantized,
                                            const WanGeometry& geometry, std::string_view where) {
  const auto refuse = [&](std::string what) {
    throw Error{{.what = std::move(what),
                 .where = std::string(where),
                 .hint = "the folder was made from another model"}};
  };
  size_t found = 0;
  for (const TensorSpec& spec : tensor_specs(geometry)) {
    if (!spec.is_linear_weight() || !quantized->has(spec.name)) continue;
    ++found;
    const Shape got = quantized->shape(spec.name);
    if (got.empty() || got[0] != spec.shape[0]) {
      refuse("\"" + spec.name + "\" is " + to_string(got) + ", the model's " + to_string(spec.shape));
    }
  }
  if (found == 0) refuse("holds no weight of a Wan2.1 transformer");
  return std::make_shared<OverlaySource>(std::move(model), std::move(quantized));
}

std::optional<QuantizedLinear> OverlaySource::load_quantized(std::string_view layer) const {
  std::optional<QuantizedLinear> linear = quantized_->load_quantized(layer);
  if (!linear) return linear;
  const Shape expected = model_->shape(std::string(layer) + ".weight");
  const Shape got = {out_features(*linear), in_features(*linear)};
  if (got != expected) {
    throw Error{{.what = "the quantized weight is " + to_string(got) + ", the model's " + to_string(expected),
                 .where = std::string(layer),
                 .hint = "the folder was made from another model"}};
  }
  return linear;
}

}  // namespace wanslim
