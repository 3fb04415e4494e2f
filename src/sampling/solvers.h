// SPDX-License-Identifier: Apache-2.0
// The solvers of the sampling loop, one row each. A solver turns the model's velocity at the current noise
// level into the sample at the next one:
//
//   const Solver& s = solver("unipc");
//   const Schedule schedule = make_schedule(s.first_sigma, 50, 5.0);
//   SolverState state;
//   for (int64_t t : schedule.timesteps) s.step(schedule, state, velocity(x, t), x);
//
// Scalars and sums are double with portable_math, samples are float: the same bits on every machine.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sampling/schedule.h"

namespace wanslim {

// All that a solver remembers between steps. Plain data: saved with the sample, a run goes on to the same
// bytes.
struct SolverState {
  int64_t step = 0;                               // steps done
  std::array<std::vector<float>, 2> predictions;  // x0 of the last steps, newest first; empty: not yet
  std::vector<float> last_sample;                 // UniPC: where the last predictor started
  bool operator==(const SolverState&) const = default;
};

struct Solver {
  std::string_view name;  // as in --sample_solver
  std::string_view what;  // for the help text
  double first_sigma;     // for make_schedule
  // Advances `sample` from schedule.sigmas[state.step] to the next level. `velocity` has the same size.
  void (*step)(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
               std::span<float> sample);
};

std::span<const Solver> solvers();

// The row with this name, or Error with the nearest spelling.
const Solver& solver(std::string_view name);

// x0 = x - sigma * v.
std::vector<float> predict_x0(float sigma, std::span<const float> velocity, std::span<const float> sample);

// Makes `x0` the newest prediction.
void remember(SolverState& state, std::vector<float> x0);

}  // namespace wanslim
