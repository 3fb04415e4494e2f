// SPDX-License-Identifier: Apache-2.0
#include "sampling/euler.h"

#include "base/error.h"

namespace wanslim {

void euler_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample) {
  CHECK(state.step < schedule.steps() && velocity.size() == sample.size());
  const auto i = static_cast<size_t>(state.step);
  const double stride = static_cast<double>(schedule.sigmas[i + 1]) - schedule.sigmas[i];
  for (size_t k = 0; k < sample.size(); ++k) {
    sample[k] = static_cast<float>(sample[k] + stride * velocity[k]);
  }
  ++state.step;
}

}  // namespace wanslim
