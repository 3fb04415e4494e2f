// SPDX-License-Identifier: Apache-2.0
#include "sampling/unipc.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/portable_math.h"

namespace wanslim {
namespace {

// Weights of x_to = sample * x + newest * m0 + older * (m1 - m0) + ahead * (m_to - m0), with m0 and m1 the
// predictions at `from` and before it. `older` is 0 for order 1, `ahead` is 0 for the predictor.
struct Weights {
  double sample = 0, newest = 0, older = 0, ahead = 0;
};

// Order of the predictor of step i: warm-up at the start, order 1 in the last step.
int predictor_order(const Schedule& schedule, int64_t i) {
  return static_cast<int>(std::min({int64_t{2}, schedule.steps() - i, i + 1}));
}

// The step from level `from` (an index) to the next one; `order` predictions at and before `from` count.
Weights weights(const Schedule& schedule, size_t from, int order, bool corrector) {
  const float sigma_from = schedule.sigmas[from], sigma_to = schedule.sigmas[from + 1];
  // At sigma 0 the log ratio is infinite and expm1 is -1: the limit is the newest prediction.
  if (sigma_to == 0) return {.newest = 1};
  const double lambda = half_log_snr(sigma_from);
  const double hh = lambda - half_log_snr(sigma_to);  // -h
  const double phi = portable_expm1(hh);              // also B(h)
  const double scale = -(1 - static_cast<double>(sigma_to)) * phi;
  Weights w{.sample = static_cast<double>(sigma_to) / sigma_from, .newest = scale};
  const double r = order == 2 ? (half_log_snr(schedule.sigmas[from - 1]) - lambda) / -hh : 0;
  if (!corrector) {
    if (order == 2) w.older = scale * 0.5 / r;
  } else if (order == 1) {
    w.ahead = scale * 0.5;
  } else {
    // [[1, 1], [r, 1]] * [rho_older, rho_ahead] = [b1, b2]
    const double b1 = (phi / hh - 1) / phi;
    const double b2 = ((phi / hh - 1) / hh - 0.5) * 2 / phi;
    const double rho = (b1 - b2) / (1 - r);
    w.older = scale * rho / r;
    w.ahead = scale * (b1 - rho);
  }
  return w;
}

void apply(const Weights& w, std::span<const float> x, std::span<const float> m0, std::span<const float> m1,
           std::span<const float> ahead, std::span<float> out) {
  for (size_t k = 0; k < out.size(); ++k) {
    const double newest = m0[k];
    out[k] = static_cast<float>(w.sample * x[k] + w.newest * newest + w.older * (m1[k] - newest) +
                                w.ahead * (ahead[k] - newest));
  }
}

}  // namespace

void unipc_step(const Schedule& schedule, SolverState& state, std::span<const float> velocity,
                std::span<float> sample) {
  CHECK(state.step < schedule.steps());
  const auto i = static_cast<size_t>(state.step);
  std::vector<float> x0 = predict_x0(schedule.sigmas[i], velocity, sample);  // of the uncorrected sample
  const auto& [newest, before] = state.predictions;
  if (i > 0) {
    const int order = predictor_order(schedule, state.step - 1);
    apply(weights(schedule, i - 1, order, true), state.last_sample, newest, order == 2 ? before : newest, x0,
          sample);
  }
  remember(state, std::move(x0));
  state.last_sample.assign(sample.begin(), sample.end());
  const int order = predictor_order(schedule, state.step);
  apply(weights(schedule, i, order, false), state.last_sample, newest, order == 2 ? before : newest, newest,
        sample);
  ++state.step;
}

}  // namespace wanslim
