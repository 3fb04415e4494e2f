// SPDX-License-Identifier: Apache-2.0
// A transformer folder as diffusers lays it out, which several quantized formats share:
//
//   diffusion_pytorch_model.safetensors, or -00001-of-0000N and an index
//   config.json  of WanTransformer3DModel, with "quantization_config"
//
// Tensors have diffusers names; norms, modulations and the time embedding F32, as diffusers keeps them, other
// floats BF16.
#pragma once
#include <functional>
#include <set>
#include <string>

#include "formats/format.h"
#include "io/checkpoint.h"

namespace wanslim {

inline constexpr std::string_view kDiffusersStem = "diffusion_pytorch_model";
inline constexpr std::string_view kDiffusersConfig = "config.json";

// The diffusers name of an official tensor or layer path.
std::string diffusers_name(std::string_view official);

// Output tensors of a layer that stays float.
std::vector<OutTensor> diffusers_float_tensors(const LayerPlan& layer);
std::vector<FileLayout> diffusers_layout(const std::vector<OutTensor>& tensors, const FormatJob& job);
// The index, if there are shards, and config.json with this "quantization_config".
std::vector<Sidecar> diffusers_sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job,
                                        Json quantization);

// Does config.json of the folder name this quant_method? False for what cannot be read.
bool has_quant_method(const Path& folder, std::string_view method);

// What readers and verifiers look at.
struct DiffusersFolder {
  Checkpoint file;
  Json config, quantization;
  std::string where;                 // of config.json, for messages
  std::set<std::string> official;    // names of the tensors that have one; of packed weights ".weight" too
  std::vector<std::string> foreign;  // tensors that no module of the transformer has
  // The stored tensor of an official name; null if absent.
  const StoredTensor* find(std::string_view official) const;
};
// Error if the folder, its config.json or "quantization_config" cannot be read.
DiffusersFolder open_diffusers(const Path& folder);

// The sizes in config.json against the tensors: depth and width, and that the transformer is whole.
void check_diffusers(const DiffusersFolder& folder, VerifyReport& report);

}  // namespace wanslim
