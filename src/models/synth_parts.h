// SPDX-License-Identifier: Apache-2.0
// What stands beside the transformer in a synthetic checkpoint, so that `generate` runs on it from a prompt:
// text encoder, VAE, the image encoder of image models, and a tokenizer. Files are safetensors under the
// published names; the tokenizer is a small one of letters, bytes and the characters of the official negative
// prompt.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/wan_variants.h"
#include "models/names.h"
#include "tensor/dtype.h"

namespace wanslim {

struct SynthPart {
  std::string file;
  DType dtype = DType::kF32;  // as published
  std::vector<TensorSpec> tensors;
};

// Published sizes if the transformer takes features of the published width; else small ones that fit it.
std::vector<SynthPart> synth_parts(const WanGeometry& geometry);

constexpr std::string_view kSynthTokenizer = "google/umt5-xxl/tokenizer.json";
std::string synth_tokenizer_text();

}  // namespace wanslim
