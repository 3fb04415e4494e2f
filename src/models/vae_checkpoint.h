// SPDX-License-Identifier: Apache-2.0
// The weights of a Wan VAE on disk, under official names ("decoder.upsamples.3.time_conv.weight") whatever
// their naming: official (Wan2.1_VAE.pth or its repacks) or diffusers (AutoencoderKLWan).
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "models/named_checkpoint.h"

namespace wanslim {

// A checkpoint file, or a folder with Wan2.1_VAE.pth, Wan2.1_VAE.safetensors,
// vae/diffusion_pytorch_model.safetensors or diffusion_pytorch_model.safetensors in it. Error if that is no
// Wan VAE.
NamedCheckpoint open_vae(const Path& path);

// The official name of a tensor that diffusers calls `name`; `resnets` is the number of resnets in each of
// its up blocks. nullopt if no module of the VAE is called so.
std::optional<std::string> official_vae_name(std::string_view name, int64_t resnets);

}  // namespace wanslim
