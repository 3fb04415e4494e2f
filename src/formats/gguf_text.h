// SPDX-License-Identifier: Apache-2.0
// The umT5 text encoder in GGUF: the architecture "t5encoder" of llama.cpp, with the sizes and the vocabulary
// that its readers want beside the tensors.
#pragma once
#include <utility>
#include <vector>

#include "formats/format.h"
#include "io/checkpoint.h"
#include "io/gguf.h"

namespace wanslim {

inline constexpr std::string_view kGgufTransformer = "wan", kGgufTextEncoder = "t5encoder";

// Error if the job has no vocabulary.
void check_text_encoder(const FormatJob& job);
// What stands behind "general.*".
std::vector<std::pair<std::string, GgufValue>> text_encoder_metadata(const FormatJob& job);

// Adds a problem for every key that is missing or does not fit the tensors, and for missing tensors.
void verify_text_encoder(const Checkpoint& file, VerifyReport& report);

}  // namespace wanslim
