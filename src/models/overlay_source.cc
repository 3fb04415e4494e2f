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
  std::string first;
  for (const TensorSpec& spec : tensor_specs(geometry)) {
    if (!spec.is_linear_weight() || !quantized->has(spec.name)) continue;
    if (first.empty()) first = spec.layer;
    const Shape got = quantized->shape(spec.name);
    // Formats that put two int4 codes of a column into a byte have half the rows.
    const int64_t codes = size_of(quantized->dtype(spec.name)) == 1 ? 2 : 1;
    if (got.empty() || (got[0] != spec.shape[0] && got[0] * codes != spec.shape[0])) {
      refuse("\"" + spec.name + "\" is " + to_string(got) + ", the model's " + to_string(spec.shape));
    }
  }
  if (first.empty()) refuse("holds no weight of a Wan2.1 transformer");
  auto both = std::make_shared<OverlaySource>(std::move(model), std::move(quantized));
  both->load_quantized(first);  // one Linear is looked at as a whole, before anything runs
  return both;
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
