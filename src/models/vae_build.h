// SPDX-License-Identifier: Apache-2.0
// Makes the layers of a VAE from its weights: which modules there are and how wide they are is read from the
// names and shapes.
#pragma once
#include "models/vae_layers.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct VaeBuild {
  VaeStack stack;
  int64_t latent_channels = 0;
  int64_t scale = 1;        // pixels per latent pixel in each direction
  int64_t frame_scale = 1;  // pixel frames per latent frame, but for the first
};

// Pixels to the mean of the latent's distribution, not scaled. `bf16` as in VaeOptions.
VaeBuild build_vae_encoder(const WeightSource& weights, bool bf16);
// Latents, not scaled, to pixels.
VaeBuild build_vae_decoder(const WeightSource& weights, bool bf16);

}  // namespace wanslim
