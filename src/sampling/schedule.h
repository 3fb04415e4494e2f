// SPDX-License-Identifier: Apache-2.0
// The noise levels of a run. Flow matching: x = (1 - sigma) * x0 + sigma * noise, sigma from near 1 down to
// 0. Source: spec wan-forward A8 (official fm_solvers_unipc.py set_timesteps, fm_solvers.py
// get_sampling_sigmas).
#pragma once
#include <cstdint>
#include <vector>

namespace wanslim {

struct Schedule {
  std::vector<float> sigmas;       // steps + 1, strictly falling, the last is 0; what the solver sees
  std::vector<int64_t> timesteps;  // steps; what the model sees: 1000 * sigma, truncated
  int64_t steps() const { return static_cast<int64_t>(timesteps.size()); }
};

constexpr int64_t kTrainTimesteps = 1000;

// `steps` levels evenly from `first_sigma` towards 0, then shifted: k s / (1 + (k - 1) s) with k = shift.
// Error unless 1 <= steps <= 1000, 0 < shift <= 1000 and the float levels differ from each other.
Schedule make_schedule(double first_sigma, int64_t steps, double shift);

// Half the log signal-to-noise ratio: ln(1 - sigma) - ln(sigma). -inf at 1, +inf at 0.
double half_log_snr(float sigma);

}  // namespace wanslim
