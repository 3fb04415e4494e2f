// SPDX-License-Identifier: Apache-2.0
// What the verifiers of formats that hold an encoder share: which tensors it must have and which of them are
// Linears of its blocks. The loaders are strict: no tensor may be missing.
#pragma once
#include <set>
#include <string>

#include "formats/format.h"

namespace wanslim {

// Adds a problem for every tensor that the encoder must have, or that other blocks have, and that is not in
// `names` (official).
void check_whole_encoder(ModelPart part, const std::set<std::string>& names, VerifyReport& report);

// The layers of these tensors that are Linears of a block.
std::set<std::string> encoder_linears(ModelPart part, const std::set<std::string>& names);

}  // namespace wanslim
