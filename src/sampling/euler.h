// SPDX-License-Identifier: Apache-2.0
// Euler's method on the flow: x += (sigma_next - sigma) * v.
#pragma once
#include "sampling/solvers.h"

namespace wanslim {

void euler_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample);

}  // namespace wanslim
