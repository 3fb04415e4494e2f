// SPDX-License-Identifier: Apache-2.0
#include "sampling/denoise.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "models/wan_finite.h"
#include "sampling/guidance.h"

namespace wanslim {
namespace {

std::vector<Tensor> velocities(WanDit& dit, std::span<const WanInput> inputs,
                               std::span<WanPrompt* const> prompts, const Pass& pass,
                               const DenoiseHooks& hooks) {
  std::vector<WanState> states;
  for (const WanInput& input : inputs) states.push_back(dit.start(input, pass));
  for (int64_t u = 0; u < dit.units(); ++u) {
    throw_if_interrupted();
    const std::shared_ptr<const WanBlock> block = dit.block(u);
    for (size_t i = 0; i < states.size(); ++i) dit.run(u, *block, states[i], *prompts[i], pass);
    if (hooks.after_unit) hooks.after_unit(u);
  }
  std::vector<Tensor> results;
  for (WanState& state : states) results.push_back(dit.finish(state, pass));
  for (size_t i = 0; i < results.size(); ++i) {
    require_finite(results[i], dit, inputs[i], *prompts[i], pass);
  }
  return results;
}

}  // namespace

void denoise(WanDit& dit, WanPrompt& prompt, WanPrompt* negative, const DenoiseJob& job, DenoiseState& state,
             const DenoiseHooks& hooks) {
  CHECK(job.solver != nullptr && state.latent.dtype() == DType::kF32);
  const bool guided = job.guidance != 1;
  CHECK(negative != nullptr || !guided);
  std::vector<WanPrompt*> prompts = {&prompt};
  if (guided) prompts.push_back(negative);
  for (int64_t step = state.solver.step; step < job.schedule.steps(); step = state.solver.step) {
    const WanInput input{.latent = &state.latent,
                         .condition = job.condition,
                         .vace_context = job.vace_context,
                         .vace_scale = job.vace_scale,
                         .timestep = static_cast<double>(job.schedule.timesteps[static_cast<size_t>(step)])};
    const std::vector<WanInput> inputs(prompts.size(), input);
    std::vector<Tensor> v = velocities(dit, inputs, prompts, {.tap = nullptr, .step = step}, hooks);
    if (guided) {
      guide(v[0].as<float>(), v[1].as<float>(), static_cast<float>(job.guidance), v[0].as<float>());
    }
    job.solver->step(job.schedule, state.solver, v[0].as<float>(), state.latent.as<float>());
    if (hooks.after_step) hooks.after_step(state);
  }
}

}  // namespace wanslim
