// SPDX-License-Identifier: Apache-2.0
// Weights split into several safetensors files with an index, as transformers, diffusers and msModelSlim do:
//   stem-00001-of-00003.safetensors, ..., stem.safetensors.index.json
#pragma once
#include <vector>

#include "formats/format.h"

namespace wanslim {

// The files of the tensors, in the order given: stem.safetensors if `limit` is 0, else a file is closed
// before the tensor that would make it `limit` bytes or more.
std::vector<FileLayout> sharded_files(const std::string& stem, std::vector<OutTensor> tensors,
                                      uint64_t limit);

// The index of the same split; empty if `limit` is 0.
std::vector<Sidecar> shard_index(const std::string& stem, const std::vector<OutTensor>& tensors,
                                 uint64_t limit);

}  // namespace wanslim
