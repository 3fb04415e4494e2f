// SPDX-License-Identifier: Apache-2.0
// GGUF by the rules of ComfyUI-GGUF's converter, which LightX2V and stable-diffusion.cpp load as well. Spec:
// formats C4; docs/formats/gguf.md.
//
//   wan2.1-t2v-1.3B-Q4_K.gguf      all tensors under official names, one file
//     L.weight in blocks of one type each (Q8_0 ... Q2_K) | L.bias F32
//     float tensors: F32 if they are 1-D, small, a modulation or of more than 4 dimensions, else F16
//   umt5-xxl-Q4_K.gguf             the text encoder under llama.cpp's names (gguf_text.h); tables F16, the
//                                  relative positions F32
#pragma once
#include "formats/format.h"

namespace wanslim {

Format gguf_format();

}  // namespace wanslim
