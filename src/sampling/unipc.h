// SPDX-License-Identifier: Apache-2.0
// UniPC with B2(h), order 2, data prediction: each step first corrects the sample with the new prediction
// (UniC, with the order of the previous predictor), then predicts the next one (UniP); orders 1, 2, ...,
// 2, 1. Always starts at the first level: the official index_for_timestep takes the second of two equal
// timesteps and then fails on the last step (spec wan-forward A9 item 10). Source: Zhao et al. 2023 (arXiv
// 2302.04867); spec wan-forward A8.1.
#pragma once
#include "sampling/solvers.h"

namespace wanslim {

void unipc_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample);

}  // namespace wanslim
