// SPDX-License-Identifier: Apache-2.0
// Where a forward of the transformer stops to be finite: found by running it again with a look at every
// value.
#pragma once
#include <string>

#include "models/wan_dit.h"

namespace wanslim {

bool all_finite(const Tensor& tensor);  // F32

// Error if `velocity`, the result of this forward, is not finite everywhere: it names the step (if pass.step
// says one) and the first layer or value that is not.
void require_finite(const Tensor& velocity, WanDit& dit, const WanInput& input, WanPrompt& prompt,
                    const Pass& pass);

}  // namespace wanslim
