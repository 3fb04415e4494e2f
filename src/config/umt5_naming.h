// SPDX-License-Identifier: Apache-2.0
// The umT5 text encoder as data: its sizes, and what its tensors are called. Names of GGUF
// files: llama.cpp's t5encoder architecture (spec formats C4); of transformers: UMT5EncoderModel.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wanslim {

// Sizes, all read from the tensors.
struct Umt5Geometry {
  int64_t vocabulary = 0, dim = 0, attention_dim = 0, ffn_dim = 0, heads = 0, layers = 0, buckets = 0;
  int64_t head_dim() const { return attention_dim / heads; }
  bool operator==(const Umt5Geometry&) const = default;
};

// The published encoder.
inline constexpr Umt5Geometry kUmt5Xxl = {.vocabulary = 256384,
                                          .dim = 4096,
                                          .attention_dim = 4096,
                                          .ffn_dim = 10240,
                                          .heads = 64,
                                          .layers = 24,
                                          .buckets = 32};

constexpr double kUmt5Eps = 1e-6;

// "umt5-xxl", or "umt5-custom" for other sizes than the published ones.
std::string umt5_variant(const Umt5Geometry& geometry);

//   kOfficial      "blocks.3.ffn.gate.0.weight"   (also LightX2V's, with "....weight_scale" beside it)
//   kTransformers  "encoder.block.3.layer.1.DenseReluDense.wi_0.weight"
//   kGguf          "enc.blk.3.ffn_gate.weight"
enum class Umt5Naming : uint8_t { kOfficial, kTransformers, kGguf };

// The name of a module, or of what hangs on it (".weight", ".weight_scale"); nullopt if no module of a umT5
// encoder is called so.
std::optional<std::string> umt5_official_name(Umt5Naming naming, std::string_view name);
std::optional<std::string> umt5_name_in(Umt5Naming naming, std::string_view official);

}  // namespace wanslim
