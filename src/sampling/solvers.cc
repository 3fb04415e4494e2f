// SPDX-License-Identifier: Apache-2.0
#include "sampling/solvers.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "base/spelling.h"
#include "sampling/dpmpp.h"
#include "sampling/euler.h"
#include "sampling/unipc.h"

namespace wanslim {
namespace {

// UniPC starts at the float value of 1 - 1/1000, the largest level of training; the others at pure noise.
constexpr Solver kSolvers[] = {
    {"unipc", "UniPC, order 2, predictor and corrector (default)", static_cast<double>(0.999f), unipc_step},
    {"dpm++", "DPM-Solver++(2M)", 1.0, dpmpp_step},
    {"euler", "Euler's method on the flow", 1.0, euler_step},
};

}  // namespace

std::span<const Solver> solvers() {
  return kSolvers;
}

const Solver& solver(std::string_view name) {
  std::vector<std::string> known;
  for (const Solver& row : kSolvers) {
    if (row.name == name) return row;
    known.emplace_back(row.name);
  }
  throw Error({.what = fmt::format("unknown solver \"{}\"{}", name, did_you_mean(name, known)),
               .hint = "the solvers are unipc, dpm++ and euler",
               .kind = Error::Kind::kUsage});
}

std::vector<float> predict_x0(float sigma, std::span<const float> velocity, std::span<const float> sample) {
  CHECK(velocity.size() == sample.size());
  std::vector<float> x0(sample.size());
  for (size_t i = 0; i < x0.size(); ++i) {
    x0[i] = static_cast<float>(sample[i] - static_cast<double>(sigma) * velocity[i]);
  }
  return x0;
}

void remember(SolverState& state, std::vector<float> x0) {
  std::swap(state.predictions[0], state.predictions[1]);
  state.predictions[0] = std::move(x0);
}

}  // namespace wanslim
