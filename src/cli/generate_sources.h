// SPDX-License-Identifier: Apache-2.0
// Pictures and videos that a generation starts from, and the size of the result that follows from them.
#pragma once
#include "cli/generate.h"

namespace wanslim {

// Fills images, references, source, mask, pixels and frames of a run whose task is settled.
void read_pictures(GenerateRun& run);

}  // namespace wanslim
