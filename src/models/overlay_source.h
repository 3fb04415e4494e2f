// SPDX-License-Identifier: Apache-2.0
// A float model with some of its Linears replaced by quantized ones, as the runtimes load it: what the
// quantized files hold beside quantized Linears is not read.
#pragma once
#include <memory>

#include "config/wan_variants.h"
#include "tensor/weight_source.h"

namespace wanslim {

// The overlay of a folder of codes, checked by names and heights of the weights: Error, naming `where`, if
// the codes are not of this model.
std::shared_ptr<const WeightSource> overlay(std::shared_ptr<const WeightSource> model,
                                            std::shared_ptr<const WeightSource> quantized,
                                            const WanGeometry& geometry, std::string_view where);

class OverlaySource : public WeightSource {
 public:
  OverlaySource(std::shared_ptr<const WeightSource> model, std::shared_ptr<const WeightSource> quantized)
      : model_(std::move(model)), quantized_(std::move(quantized)) {}

  bool has(std::string_view tensor) const override { return model_->has(tensor); }
  Shape shape(std::string_view tensor) const override { return model_->shape(tensor); }
  DType dtype(std::string_view tensor) const override { return model_->dtype(tensor); }
  Tensor load(std::string_view tensor) const override { return model_->load(tensor); }
  // Error if the quantized Linear does not have the shape of the model's.
  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override;

 private:
  std::shared_ptr<const WeightSource> model_, quantized_;
};

}  // namespace wanslim
