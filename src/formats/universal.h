// SPDX-License-Identifier: Apache-2.0
// universal-int8: one safetensors file that ComfyUI, stable-diffusion.cpp and LightX2V all load. It is
// ComfyUI's int8_tensorwise with what the others want: every Linear of the blocks, one scale a channel that
// is a bf16 value, biases BF16. Spec: formats C0; docs/formats/universal-int8.md. The metadata say
// {"layout": "universal-int8"}.
#pragma once
#include "formats/format.h"

namespace wanslim {

Format universal_int8_format();

}  // namespace wanslim
