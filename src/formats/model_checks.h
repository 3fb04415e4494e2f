// SPDX-License-Identifier: Apache-2.0
// What the verifiers and writers of formats that hold a whole transformer share: which tensors it must have,
// which of them stay in F32, and whether all Linears of its blocks are quantized.
#pragma once
#include <set>
#include <string>

#include "formats/format.h"
#include "io/checkpoint.h"

namespace wanslim {

// Norms and modulations: small, and added or multiplied in F32 by every implementation.
bool is_norm_or_modulation(std::string_view official);

// Output tensors of a layer that stays float: norms and modulations F32, others BF16.
std::vector<OutTensor> float_tensors(const LayerPlan& layer);

// Adds a problem for every tensor that a Wan2.1 transformer must have, or that other blocks have, and that is
// not in `names` (official).
void check_whole_model(const std::set<std::string>& names, VerifyReport& report);

// The Linears of a block that a runtime with one scheme for all quantizes: not VACE's projections in and out.
bool is_core_linear(const LayerPlan& layer);
// Error unless each of them is quantized, all by one scheme, and no other layer is. `runtime`: for the
// message.
void check_all_linears(const FormatJob& job, std::string_view runtime);
// The layers of these official tensor names that is_core_linear() is true of.
std::set<std::string> core_linears(const std::set<std::string>& names);

// What the job is about: "wan2.1-t2v-1.3B", "umt5-xxl", "clip-vit-h-14".
std::string model_name(const FormatJob& job);
// The name for a file of the model: "wan2.1-t2v-1.3B-<what><ending>".
std::string model_file_name(const FormatJob& job, std::string_view what, std::string_view ending);

}  // namespace wanslim
