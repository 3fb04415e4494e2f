// SPDX-License-Identifier: Apache-2.0
// The tensors of the umT5 text encoder under official names, and their shapes, as data (spec A4). Other
// names: config/umt5_naming.h.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/umt5_naming.h"
#include "io/checkpoint.h"
#include "models/names.h"
#include "tensor/weight_source.h"

namespace wanslim {

// The distance from which on all positions share a bucket; in no tensor and no config of the official
// checkpoint.
constexpr int64_t kUmt5MaxDistance = 128;

// Error naming the tensor if the weights (under official names) are no whole umT5 encoder.
Umt5Geometry umt5_geometry(const WeightSource& weights);

// Every tensor, official names: the embedding, block by block, the last norm. The Linear weights (role
// kLinearWeight) are those that quantized files may hold as codes; all else stays float.
std::vector<TensorSpec> umt5_tensor_specs(const Umt5Geometry& geometry);

// The naming whose token embedding is among the names; nullopt: this is no umT5 encoder.
std::optional<Umt5Naming> detect_umt5_naming(std::span<const StoredTensor> tensors);

}  // namespace wanslim
