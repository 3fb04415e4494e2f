// SPDX-License-Identifier: Apache-2.0
// A float model that `quant` can take: a Wan2.1 transformer or one of the encoders beside it, told apart by
// their tensors.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "config/model_part.h"
#include "config/umt5_naming.h"
#include "config/wan_variants.h"
#include "io/checkpoint.h"
#include "tensor/layer_plan.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct QuantModel {
  ModelPart part = ModelPart::kTransformer;
  std::string variant = {};                          // "t2v-1.3B", "umt5-xxl", "clip-vit-h-14"
  WanGeometry geometry = {};                         // of a transformer
  Umt5Geometry text_encoder = {};                    // of a text encoder
  std::vector<LayerPlan> layers = {};                // official order, all float
  std::shared_ptr<const WeightSource> weights = {};  // official names; safe to read from several threads
  const Checkpoint* file = nullptr;                  // of `weights`
};

// By the names of the tensors; a transformer unless they are those of an encoder.
ModelPart detect_part(const Checkpoint& file);

// Opens what Checkpoint::open opens: a folder is a transformer's, an encoder is given by its file. Error if
// the model is not complete and float, or holds tensors that it should not have.
QuantModel open_quant_model(const Path& path);

}  // namespace wanslim
