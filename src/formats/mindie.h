// SPDX-License-Identifier: Apache-2.0
// MindIE-SD: a description JSON and one safetensors file, as mindiesd.quantize() loads them on Ascend NPUs
// and as msModelSlim's mindie_format_saver writes them. Spec: formats B1-B5, msmodelslim 5.1 and 5.5;
// docs/formats/mindie.md.
//
//   quant_model_weight_w8a8_dynamic.safetensors        all tensors, one file
//     L.weight I8 [out, in] | L.weight_scale F32 [out, 1] | L.weight_offset F32 [out, 1] zeros | L.bias F32
//     [out] float tensors under their own names, BF16
//   quant_model_description_w8a8_dynamic.json           {tensor name: type or "FLOAT", ...,
//   "model_quant_type": type}
#pragma once
#include "formats/format.h"

namespace wanslim {

Format mindie_format();

}  // namespace wanslim
