// SPDX-License-Identifier: Apache-2.0
// For tests of formats: a whole small transformer, values for its layers in any scheme, and damage to files.
#pragma once
#include <sys/stat.h>

#include <string>

#include "base/error.h"
#include "formats/testing.h"
#include "tensor/ggml_blocks.h"

namespace wanslim::testing {

inline LayerPlan linear(const std::string& name, Shape shape, QuantScheme scheme, int block = 0) {
  LayerPlan layer = linear_layer(name, std::move(shape), scheme);
  layer.block = block;
  return layer;
}

inline LayerPlan parameter(const std::string& name, Shape shape, int block = -1) {
  LayerPlan layer = plain_tensor(name, std::move(shape));
  layer.block = block;
  return layer;
}

inline QuantScheme scheme(Encoding weight, Granularity granularity, Encoding activation = Encoding::kFloat,
                          int group = 0) {
  const Granularity of_activation = activation == Encoding::kFloat ? Granularity::kTensor
                                    : granularity == Granularity::kBlock || granularity == Granularity::kDual
                                        ? granularity
                                        : Granularity::kToken;
  return {.weight = weight,
          .weight_granularity = granularity,
          .activation = activation,
          .activation_granularity = of_activation,
          .group = group};
}

inline const QuantScheme kW8A8 = scheme(Encoding::kInt8, Granularity::kChannel, Encoding::kInt8);

// A transformer of `blocks` blocks with the Linears of the official one, all of 64 channels, and what stands
// beside them.
inline FormatJob wan_job(const QuantScheme& of_blocks, int blocks = 2, int64_t width = 64) {
  FormatJob job;
  job.geometry.dim = job.geometry.ffn_dim = width;
  job.geometry.heads = 1;
  job.geometry.layers = blocks;
  for (int b = 0; b < blocks; ++b) {
    const std::string at = "blocks." + std::to_string(b) + ".";
    job.layers.push_back(parameter(at + "modulation", {1, 6, width}, b));
    for (const char* name : {"self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q",
                             "cross_attn.k", "cross_attn.v", "cross_attn.o", "ffn.0", "ffn.2"})
      job.layers.push_back(linear(at + name, {width, width}, of_blocks, b));
    for (const char* name : {"self_attn.norm_q.weight", "self_attn.norm_k.weight", "norm3.weight",
                             "norm3.bias", "cross_attn.norm_q.weight", "cross_attn.norm_k.weight"})
      job.layers.push_back(parameter(at + name, {width}, b));
  }
  job.layers.push_back(parameter("patch_embedding.weight", {width, 16, 1, 2, 2}));
  job.layers.push_back(parameter("patch_embedding.bias", {width}));
  for (const char* name : {"text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2",
                           "time_projection.1", "head.head"})
    job.layers.push_back(linear(name, {width, width}, {}, -1));
  job.layers.push_back(parameter("head.modulation", {1, 2, width}));
  return job;
}

// Bytes that depend on `seed` and position; every value of `dtype` that comes out is finite.
inline Tensor pattern(DType dtype, Shape shape, uint32_t seed) {
  Tensor t(dtype, std::move(shape));
  uint32_t state = seed * 2654435761u + 1;
  // By pointer: tests are not optimised, and this is most of what those of a whole folder do.
  const auto fill = [&](auto values, auto value_of) {
    auto* to = values.data();
    for (size_t i = 0, count = values.size(); i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      to[i] = value_of(state >> 24);
    }
  };
  if (dtype == DType::kF32) {
    fill(t.as<float>(), [](uint32_t x) { return static_cast<float>(x + 1) / 256; });
  } else if (dtype == DType::kBF16) {
    fill(t.as<uint16_t>(), [](uint32_t x) { return static_cast<uint16_t>(0x3f00 + x % 128); });
  } else if (dtype == DType::kF8E4M3) {
    fill(t.as<uint8_t>(), [](uint32_t x) { return static_cast<uint8_t>(x & 0xf7); });  // no NaN
  } else {
    fill(t.raw(), [](uint32_t x) { return static_cast<std::byte>(x); });
  }
  return t;
}

// What an algorithm could have made of the layer. Scales are bf16 values.
inline QuantizedLinear quantized(const LayerPlan& layer, uint32_t seed) {
  const QuantScheme& s = layer.scheme;
  const int64_t out = layer.shape[0], in = layer.shape[1];
  QuantizedLinear q{.name = layer.name, .scheme = s, .hadamard_group = layer.hadamard_group};
  const bool nibbles = s.weight == Encoding::kMxFp4 || s.weight == Encoding::kNvFp4;
  const bool fp8 = s.weight == Encoding::kFp8E4M3 || s.weight == Encoding::kMxFp8;
  if (const GgmlBlock block = ggml_block(s.weight); block.elements > 0) {
    q.weight =
        filled(DType::kU8, {out, in / block.elements * block.bytes}, 0x21 + static_cast<int>(seed % 8));
    if (layer.has_bias) q.bias = f32({out}, 1, 0.5f);
    return q;
  }
  q.weight = pattern(nibbles ? DType::kU8
                     : fp8   ? DType::kF8E4M3
                             : DType::kI8,
                     {out, nibbles ? in / 2 : in}, seed);
  if (s.weight == Encoding::kInt4) {
    for (int8_t& code : q.weight.as<int8_t>()) code = static_cast<int8_t>(code % 8);
  }
  if (s.weight == Encoding::kMxFp8 || s.weight == Encoding::kMxFp4) {
    q.scale = Tensor(DType::kU8, {out, in / 32});
    for (uint8_t& e : q.scale.as<uint8_t>()) e = static_cast<uint8_t>(120 + seed++ % 7);
  } else if (s.weight == Encoding::kNvFp4) {
    q.scale = pattern(DType::kF8E4M3, {out, in / 16}, seed + 1);
    for (uint8_t& e : q.scale.as<uint8_t>()) e &= 0x7f;
    q.dual_scale = f32({1}, 0.125f);
  } else if (s.weight_granularity == Granularity::kTensor) {
    q.scale = f32({1}, 0.5f);
  } else {
    q.scale =
        pattern(DType::kF32, {out, s.weight_granularity == Granularity::kGroup ? in / s.group : 1}, seed + 2);
  }
  if (s.weight_granularity == Granularity::kDual)
    q.dual_scale = pattern(DType::kF32, {out, in / 512}, seed + 3);
  if (layer.has_bias) q.bias = f32({out}, 1, 0.5f);
  return q;
}

inline void write_model(std::string_view format, const Path& dir, const FormatJob& job) {
  write_job(format, dir, job, [&](const LayerPlan& layer, std::span<const OutTensor> tensors) {
    const auto seed = static_cast<uint32_t>(&layer - job.layers.data());
    LayerValue value;
    if (layer.quantized()) {
      value.quantized = quantized(layer, seed);
    } else {
      for (const OutTensor& t : tensors) value.values.push_back(pattern(t.dtype, t.shape, seed));
    }
    return value;
  });
}

// As problems_of; an Error is a problem too.
inline std::string complaints(std::string_view format, const Path& dir) {
  try {
    return problems_of(format, dir);
  } catch (const Error& e) {
    return e.text + "\n";
  }
}

// Replaces text in a small file.
inline void edit(const Path& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path, 1 << 20);
  const size_t at = text.find(from);
  CHECK(at != std::string::npos);
  write_text(path, text.replace(at, from.size(), to));
  ::chmod(path.c_str(), 0640);
}

}  // namespace wanslim::testing
