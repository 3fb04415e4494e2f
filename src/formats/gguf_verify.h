// SPDX-License-Identifier: Apache-2.0
// Reading a GGUF file as ComfyUI-GGUF, LightX2V and stable-diffusion.cpp do.
#pragma once
#include "formats/format.h"

namespace wanslim {

// Tensors under these names are not quantized by any converter: their modules have no code for it.
bool never_in_blocks(std::string_view tensor);

// A .gguf file, or a folder that holds one.
bool recognizes_gguf(const Path& path);
VerifyReport verify_gguf(const Path& path);
std::unique_ptr<WeightSource> read_gguf(const Path& path);

}  // namespace wanslim
