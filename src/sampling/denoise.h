// SPDX-License-Identifier: Apache-2.0
// The sampling loop: noise and prompts in, latent out.
//
//   DenoiseState state{.latent = noise};
//   denoise(dit, prompt, &negative, {.schedule = s, .solver = &solver("unipc"), .guidance = 5}, state, {});
//
// The state is plain data: saved after any step and put back, the loop goes on to the same bits.
#pragma once
#include <cstdint>
#include <functional>

#include "models/wan_dit.h"
#include "sampling/solvers.h"

namespace wanslim {

struct DenoiseJob {
  Schedule schedule = {};
  const Solver* solver = nullptr;
  double guidance = 5;                   // see guidance.h; 1: the negative prompt is not run at all
  const Tensor* condition = nullptr;     // as in WanInput
  const Tensor* vace_context = nullptr;  // as in WanInput
  float vace_scale = 1.0f;
};

struct DenoiseState {
  Tensor latent = {};       // [16, T, h, w], F32
  SolverState solver = {};  // its `step` says how many steps are done
};

// Called from the thread that calls denoise; what they throw ends the loop with the state of the last whole
// step.
struct DenoiseHooks {
  std::function<void(int64_t unit)> after_unit =
      {};  // a block of WanDit::units() is through, for all prompts
  std::function<void(const DenoiseState& state)> after_step = {};
};

// Runs the steps that are left. `negative` may be null if the guidance is 1. Error if a value is no longer
// finite, naming step and layer, and if sizes do not fit the model.
void denoise(WanDit& dit, WanPrompt& prompt, WanPrompt* negative, const DenoiseJob& job, DenoiseState& state,
             const DenoiseHooks& hooks);

}  // namespace wanslim
