// SPDX-License-Identifier: Apache-2.0
// vllm-omni: serialized int8, W8A8 with one scale a channel and one a token, in a diffusers folder. Spec:
// formats C6; docs/formats/vllm-omni.md.
//
//   P.weight I8 [out, in] | P.weight_scale F32 [out, 1] | P.bias BF16 [out] | floats as in diffusers.h
//   config.json  "quantization_config": {"quant_method": "int8", "is_checkpoint_int8_serialized": true,
//     "activation_scheme": "dynamic", "ignored_layers": [...]}
#pragma once
#include "formats/format.h"

namespace wanslim {

Format vllm_omni_format();

}  // namespace wanslim
