// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(2M), midpoint, data prediction, first order in the first and the last step.
// Source: Lu et al. 2022 (arXiv 2211.01095) algorithm 2; spec wan-forward A8.2.
#pragma once
#include "sampling/solvers.h"

namespace wanslim {

void dpmpp_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample);

}  // namespace wanslim
