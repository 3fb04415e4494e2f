// SPDX-License-Identifier: Apache-2.0
// Weights in the block formats of GGUF files (layouts: tensor/ggml_blocks.h). Q8_0 is bit for bit what ggml's
// own quantizer writes; the others are least-squares fits of ours, whose error ggml's quantizer does not
// undercut without an importance matrix.
#pragma once
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// A ggml encoding; `in` is a multiple of its block. Error naming the layer if a weight is too large for the
// half precision scales.
QuantizedLinear quantize_ggml(const LinearWeight& linear, const QuantScheme& scheme);

}  // namespace wanslim
