// SPDX-License-Identifier: Apache-2.0
// The tensors of the umT5 text encoder and what they are called, as data. Names and shapes: spec A4; of GGUF
// files: llama.cpp's t5encoder architecture (spec C4); of transformers: UMT5EncoderModel.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "models/names.h"
#include "tensor/weight_source.h"

namespace wanslim {

// Sizes, all read from the tensors. umT5-xxl: 256384, 4096, 4096, 10240, 64, 24, 32.
struct Umt5Geometry {
  int64_t vocabulary = 0, dim = 0, attention_dim = 0, ffn_dim = 0, heads = 0, layers = 0, buckets = 0;
  int64_t head_dim() const { return attention_dim / heads; }
  bool operator==(const Umt5Geometry&) const = default;
};

// The distance from which on all positions share a bucket; in no tensor and no config of the official
// checkpoint.
constexpr int64_t kUmt5MaxDistance = 128;

//   kOfficial      "blocks.3.ffn.gate.0.weight"   (also LightX2V's, which adds
//   "blocks.3.ffn.gate.0.weight_scale") kTransformers  "encoder.block.3.layer.1.DenseReluDense.wi_0.weight"
//   kGguf          "enc.blk.3.ffn_gate.weight"
enum class Umt5Naming : uint8_t { kOfficial, kTransformers, kGguf };

// Error naming the tensor if the weights (under official names) are no whole umT5 encoder.
Umt5Geometry umt5_geometry(const WeightSource& weights);

// Every tensor, official names: the embedding, block by block, the last norm. The Linear weights (role
// kLinearWeight) are those that quantized files may hold as codes; all else stays float.
std::vector<TensorSpec> umt5_tensor_specs(const Umt5Geometry& geometry);

std::optional<std::string> umt5_official_name(Umt5Naming naming, std::string_view name);
std::optional<std::string> umt5_name_in(Umt5Naming naming, std::string_view official);

// The naming whose token embedding is among the names; nullopt: this is no umT5 encoder.
std::optional<Umt5Naming> detect_umt5_naming(std::span<const StoredTensor> tensors);

}  // namespace wanslim
