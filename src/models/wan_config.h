// SPDX-License-Identifier: Apache-2.0
// config.json of a Wan2.1 transformer, in the official and the diffusers spelling. The texts are
// written by config/wan_variants.h. Sources: spec wan-forward A1.1 and formats C5.
#pragma once
#include <string>
#include <string_view>

#include "config/wan_variants.h"

namespace wanslim {

// Takes heads, text_len, eps and vace_layers from the text of config.json (official or diffusers keys) and
// holds every other key against `geometry`. One Error names all keys that contradict the tensors, with both
// values. Keys that are absent or not about the geometry do not matter.
void apply_config(std::string_view json, std::string_view where, WanGeometry& geometry);

}  // namespace wanslim
