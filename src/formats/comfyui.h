// SPDX-License-Identifier: Apache-2.0
// ComfyUI: one safetensors file under official names for models/diffusion_models. Spec: formats C2; checked
// against ComfyUI's comfy/ops.py and quant_ops.py; docs/formats/comfyui.md. A quantized Linear P is one of
//
//   int8_tensorwise  P.weight I8 [out, in], P.weight_scale F32 [out, 1]
//   float8_e4m3fn    P.weight F8_E4M3 [out, in], P.weight_scale F32 []
//   mxfp8            P.weight F8_E4M3 [out, in], P.weight_scale U8, exponents in cuBLAS blocks (pack.h)
//   nvfp4            P.weight U8 [out, in/2], first code in the high nibble, P.weight_scale F8_E4M3 in cuBLAS
//                    blocks, P.weight_scale_2 F32 []
//   and P.comfy_quant U8, JSON {"format": ..}; P.bias F32. Float tensors BF16, norms and modulations F32.
//
// The option markers=scaled_fp8 writes FP8 as older versions read it: P.scale_weight F32 [] in place of
// P.weight_scale and P.comfy_quant, and one tensor "scaled_fp8", F8_E4M3 [2].
#pragma once
#include <map>

#include "formats/file_source.h"
#include "formats/format.h"

namespace wanslim {

Format comfyui_format();

// What universal.cc writes too.
std::vector<OutTensor> comfyui_plan(const LayerPlan& layer, const FormatJob& job);
std::vector<Encoded> comfyui_encode(const LayerPlan& layer, const QuantizedLinear& linear,
                                    const FormatJob& job);

// The names of ComfyUI's formats, empty if it has none for the scheme.
std::string_view comfy_format_of(const QuantScheme& scheme);

// What stands in comfy_quant.
struct ComfyMark {
  std::string format;
  bool full_precision = false;  // weights are dequantized, the product is in bf16
  int convrot_group = 0;        // inputs are rotated; 0: not
};

// A file as ComfyUI looks at it.
struct ComfyFile {
  Checkpoint file;
  std::string prefix;                      // before every name: "" or "model.diffusion_model."
  bool old_markers = false;                // scaled_fp8
  std::map<std::string, ComfyMark> marks;  // layer -> mark
};

// Error if there is not one file, or a mark is no JSON object that ComfyUI could read.
ComfyFile open_comfyui(const Path& path);
bool has_comfy_marks(const Path& path);  // folder or file

// Adds problems: tensors of each marked layer, numbers without a mark, the whole model.
void check_comfyui(const ComfyFile& file, VerifyReport& report);

bool recognizes_comfyui(const Path& path);
VerifyReport verify_comfyui(const Path& path);
std::unique_ptr<WeightSource> read_comfyui(const Path& path);

}  // namespace wanslim
