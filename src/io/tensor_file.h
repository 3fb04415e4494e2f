// SPDX-License-Identifier: Apache-2.0
// Small sets of named tensors as one .safetensors file: inputs and outputs of modules, latents, noise.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "io/file.h"
#include "tensor/tensor.h"

namespace wanslim {

using TensorMap = std::map<std::string, Tensor>;

// All tensors of a file (or of what else Checkpoint::open opens).
TensorMap read_tensors(const Path& path);

// F32 [same shape] of a tensor of any float type but F8. Error naming `where` for another type.
Tensor floats_of(const Tensor& tensor, std::string_view where);

// Written under a temporary name beside `path`, synced and renamed: there whole or not at all.
void write_tensors(const Path& path, const TensorMap& tensors,
                   const std::map<std::string, std::string>& metadata = {});

}  // namespace wanslim
