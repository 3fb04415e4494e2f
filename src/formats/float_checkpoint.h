// SPDX-License-Identifier: Apache-2.0
// A float checkpoint under official names, as `convert --to float` writes it:
//
//   diffusion_pytorch_model.safetensors, or shards and an index | config.json
//
// No row of formats(): it is no quantized output, and what reads checkpoints reads it.
#pragma once
#include "formats/format.h"

namespace wanslim {

// Every layer of the job must be float. Option "dtype": bf16, f32 or f16.
const Format& float_checkpoint_format();

}  // namespace wanslim
