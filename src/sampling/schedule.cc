// SPDX-License-Identifier: Apache-2.0
#include "sampling/schedule.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/portable_math.h"

namespace wanslim {

Schedule make_schedule(double first_sigma, int64_t steps, double shift) {
  if (steps < 1 || steps > kTrainTimesteps) {
    throw Error({.what = fmt::format("{} sampling steps, expected 1 to {}", steps, kTrainTimesteps),
                 .kind = Error::Kind::kUsage});
  }
  if (!(shift > 0 && shift <= 1000)) {
    throw Error({.what = fmt::format("the sampling shift is {}, expected a number above 0 up to 1000", shift),
                 .hint = "the official values are 3, 5 and 16",
                 .kind = Error::Kind::kUsage});
  }
  Schedule out;
  // The order of operations is numpy's linspace and the official shift: the timesteps are truncated, so one
  // unit in the last place matters.
  const double stride = (0 - first_sigma) / static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const double even = static_cast<double>(i) * stride + first_sigma;
    const double sigma = shift * even / (1 + (shift - 1) * even);
    out.sigmas.push_back(static_cast<float>(sigma));
    out.timesteps.push_back(static_cast<int64_t>(sigma * kTrainTimesteps));
  }
  out.sigmas.push_back(0);
  for (size_t i = 1; i < out.sigmas.size(); ++i) {
    if (!(out.sigmas[i] < out.sigmas[i - 1])) {
      throw Error(
          {.what = fmt::format("{} steps at shift {} lie too close for single precision", steps, shift),
           .hint = "take fewer steps or a smaller shift",
           .kind = Error::Kind::kUsage});
    }
  }
  return out;
}

double half_log_snr(float sigma) {
  return portable_log(1 - static_cast<double>(sigma)) - portable_log(sigma);
}

}  // namespace wanslim
