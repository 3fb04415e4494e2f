// SPDX-License-Identifier: Apache-2.0
// Names and shapes of the tensors that the models beside the transformer have at a given size: for making
// checkpoints of true structure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/shape.h"

namespace wanslim {

struct NamedShape {
  std::string name;  // official
  Shape shape;
  bool operator==(const NamedShape&) const = default;
};

// All tensors of the VAE, encoder and decoder; `dim` is the width of the layers at full resolution: 96 as
// published.
std::vector<NamedShape> vae_tensors(int64_t dim = 96, int64_t latent_channels = 16);

// The tensors of CLIP's visual encoder that are read ("visual.*"), at a width of 80 * heads.
struct ClipSizes {
  int64_t heads = 16, mlp = 5120, layers = 32, patch = 14, image = 224;
};
std::vector<NamedShape> clip_tensors(const ClipSizes& sizes = {});

}  // namespace wanslim
