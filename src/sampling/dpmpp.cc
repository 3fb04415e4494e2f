// SPDX-License-Identifier: Apache-2.0
#include "sampling/dpmpp.h"

#include "base/error.h"
#include "base/portable_math.h"

namespace wanslim {

void dpmpp_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample) {
  CHECK(state.step < schedule.steps());
  const auto i = static_cast<size_t>(state.step);
  const float from = schedule.sigmas[i], to = schedule.sigmas[i + 1];
  remember(state, predict_x0(from, velocity, sample));
  ++state.step;

  // x = a * x + b * m0 + c * (m0 - m1). The levels 1 and 0 have infinite log ratios; their limits are exact:
  // e^-h = 0, and D1 = 0 in the step after level 1.
  const double h = half_log_snr(to) - half_log_snr(from);
  const double b = -(1 - static_cast<double>(to)) * portable_expm1(-h);
  const double a = static_cast<double>(to) / from;
  double c = 0;
  const bool last = state.step == schedule.steps();
  if (i > 0 && !last && schedule.sigmas[i - 1] < 1) {
    const double previous = half_log_snr(from) - half_log_snr(schedule.sigmas[i - 1]);
    c = 0.5 * b * (h / previous);
  }
  const std::vector<float>& m0 = state.predictions[0];
  const std::vector<float>& m1 = c == 0 ? m0 : state.predictions[1];
  for (size_t k = 0; k < sample.size(); ++k) {
    const double newest = m0[k];
    sample[k] = static_cast<float>(a * sample[k] + b * newest + c * (newest - m1[k]));
  }
}

}  // namespace wanslim
