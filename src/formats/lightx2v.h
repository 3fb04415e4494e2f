// SPDX-License-Identifier: Apache-2.0
// LightX2V: int8 and FP8 weights with one scale a channel, under official names. Spec: formats C1;
// docs/formats/lightx2v.md.
//
//   layout=single   wan2.1-<variant>-int8.safetensors
//   layout=blocks   block_0.safetensors, ..., non_block.safetensors, as its lazy loading wants them
//   umt5-xxl-lightx2v-int8.safetensors, clip-...: the encoders, one file; floats keep their dtype
//   lightx2v_config.json  {"dit_quantized": true, "dit_quant_scheme": "int8-vllm", "dit_quantized_ckpt": ..}
//
//   P.weight I8 or F8_E4M3 [out, in] | P.weight_scale F32 [out, 1], bf16 values | P.bias BF16 | floats BF16;
//   in a single file those that LightX2V calls sensitive F32, if they were
#pragma once
#include "formats/format.h"

namespace wanslim {

Format lightx2v_format();

inline constexpr std::string_view kLightX2vConfig = "lightx2v_config.json";
inline constexpr std::string_view kNonBlock = "non_block.safetensors";
// "block_3.safetensors" for a tensor of block 3; blocks of VACE lie with those of the same number.
std::string lightx2v_file(std::string_view official);

bool recognizes_lightx2v(const Path& folder);
// What differs between the models that LightX2V loads: the keys of its config ("dit_quantized",
// "dit_quant_scheme", "dit_quantized_ckpt") and the kernels (--format_option kernel) that it has for their
// int8 and FP8 Linears, the first one being the default.
struct LightX2vPart {
  ModelPart part;
  std::string_view key;
  std::vector<std::string_view> int8, fp8;
};
std::span<const LightX2vPart> lightx2v_parts();

VerifyReport verify_lightx2v(const Path& folder);
std::unique_ptr<WeightSource> read_lightx2v(const Path& folder);

}  // namespace wanslim
