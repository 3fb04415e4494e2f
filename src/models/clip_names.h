// SPDX-License-Identifier: Apache-2.0
// The tensors of CLIP's visual tower (spec A6) as data, under official names, which LightX2V's quantized
// files keep (with "visual.transformer.3.mlp.0.weight_scale" beside the weight). The textual tower is not
// part of it: no runtime of Wan2.1 reads it.
#pragma once
#include <cstdint>
#include <vector>

#include "models/names.h"
#include "tensor/weight_source.h"

namespace wanslim {

// Sizes, all read from the tensors. ViT-H/14: 1280, 5120, 32, 14, 257, 1024.
struct ClipGeometry {
  int64_t dim = 0, mlp_dim = 0, layers = 0, patch = 0, tokens = 0,
          out_dim = 0;  // out_dim 0: the file has no head
  bool operator==(const ClipGeometry&) const = default;
};

// The published encoder.
inline constexpr ClipGeometry kClipVitH14 = {
    .dim = 1280, .mlp_dim = 5120, .layers = 32, .patch = 14, .tokens = 257, .out_dim = 1024};

// Error naming the tensor if the weights have no visual tower.
ClipGeometry clip_geometry(const WeightSource& weights);

// Layer by layer, then what stands around them. The Linear weights of the layers (role kLinearWeight) are
// those that quantized files may hold as codes; all else stays float.
std::vector<TensorSpec> clip_tensor_specs(const ClipGeometry& geometry);

}  // namespace wanslim
