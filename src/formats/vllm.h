// SPDX-License-Identifier: Apache-2.0
// How the modules of vLLM run a Wan transformer, which the formats for it have in common.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace wanslim {

// Error unless the quantized layers are Linears of blocks other than VACE's projections in and out, and q, k
// and v of each self attention have the same scheme: the modules run those in float, and these as one Linear.
void check_vllm_layers(const FormatJob& job, std::string_view runtime);
// "blocks.3" of a layer that is such a q, k or v; empty of others. Official names.
std::string fused_unit(std::string_view layer);

// What vllm-omni's own modules are called where that is not the diffusers name: it compares "ignored_layers"
// with those ("ffn.net_2", "to_out"). The name itself otherwise.
std::string vllm_omni_module(std::string_view diffusers);
// The name, and that of the module where it is another one.
void add_vllm_module(const std::string& diffusers, std::vector<std::string>& to);

}  // namespace wanslim
