// SPDX-License-Identifier: Apache-2.0
#include "quant/ssz.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/scale_fit.h"
#include "quant/int_rows.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

// One row of the reference's iteration.
struct RowState {
  float scale = 0;       // of this step
  float best_scale = 0;  // of the smallest error so far
  float best_error = 0;  // mean squared error in bf16
  float worse_twin = 0;  // a scale of equal bf16 error that lost against best_scale
  bool started = false, converged = false;
};

// Squared error of the reference's codes, in double.
double exact_error(std::span<const float> row, float scale, CodeRange range) {
  std::vector<int8_t> codes(row.size());
  reference_codes(row, scale, range, Working::kBf16, codes);
  double sum = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double e = static_cast<double>(row[i]) - static_cast<double>(codes[i]) * static_cast<double>(scale);
    sum += e * e;
  }
  return sum;
}

bool has_converged(float best, float error) {
  const float gain = round_bf16(best - error);
  return round_bf16(gain / std::max(best, round_bf16(1e-4f))) < 1e-10f || std::fabs(gain) < 1e-10f;
}

// Looks at the scale of this step, then moves on to the least-squares scale of its codes.
void reference_step(std::span<const float> row, CodeRange range, RowState& state) {
  if (!(state.scale > 0)) {  // the codes were all 0: the reference's numbers are NaN from here on
    state.converged = false;
    return;
  }
  const SszSums sums = ssz_sums_bf16(row, state.scale, range);
  const float error = round_bf16(static_cast<float>(sums.error) / static_cast<float>(row.size()));
  if (!state.started) {
    state.best_error = error;
    state.best_scale = state.scale;
    state.started = true;
  } else {
    state.converged = has_converged(state.best_error, error);
    if (error < state.best_error) {
      state.best_error = error;
      state.best_scale = state.scale;
    } else if (error == state.best_error && state.scale != state.best_scale &&
               state.scale != state.worse_twin) {
      state.worse_twin = state.scale;
      if (exact_error(row, state.scale, range) < exact_error(row, state.best_scale, range)) {
        std::swap(state.best_scale, state.worse_twin);
      }
    }
  }
  const float code_code = std::max(round_bf16(static_cast<float>(sums.code_code)), round_bf16(1e-30f));
  state.scale = round_bf16(round_bf16(static_cast<float>(sums.row_code)) / code_code);
}

std::vector<RowState> reference_iteration(const LinearWeight& linear, CodeRange range, int steps) {
  std::vector<RowState> rows(static_cast<size_t>(linear.out()));
  // All rows go on until all have converged.
  for (int step = 0; step <= steps; ++step) {
    for_each_row(linear, Numerics::kCompat, [&](int64_t r, std::span<const float> row, float absmax) {
      RowState& state = rows[static_cast<size_t>(r)];
      if (step == 0) state.scale = reference_scale(absmax, range, Working::kBf16);
      reference_step(row, range, state);
    });
    if (step > 0 && std::all_of(rows.begin(), rows.end(), [](const RowState& s) { return s.converged; }))
      break;
  }
  return rows;
}

// The least-squares fixed point that is reached from `scale`.
float fitted(std::span<const float> values, float scale, CodeRange range, int steps) {
  for (int step = 0; step < steps; ++step) {
    const FitSums sums = fit_sums(values, scale, range);
    if (!(sums.row_code > 0) || sums.code_code == 0) break;
    const float next = std::max(static_cast<float>(sums.row_code / sums.code_code), 0x1p-126f);
    const bool close = std::fabs(next - scale) <= scale * 0x1p-12f;
    scale = next;
    if (close) break;
  }
  return scale;
}

float precise_scale(const IntRun& run, CodeRange range, int steps) {
  const float minmax = choose_scale(run.values, run.absmax, range);
  if (run.absmax == 0) return minmax;
  std::vector<float> scales = {minmax};
  for (float start : {1.0f, range.high == 7 ? 0.75f : 0.9f}) {
    const float near = round_bf16(fitted(run.values, minmax * start, range, steps));
    for (int step : {0, -1, 1}) {
      const float scale =
          std::bit_cast<float>(std::bit_cast<uint32_t>(near) + static_cast<uint32_t>(step * 0x10000));
      if (scale >= 0x1p-126f && std::isfinite(scale)) scales.push_back(scale);
    }
  }
  return best_scale(run.values, scales, range);
}

}  // namespace

QuantizedLinear quantize_ssz(const LinearWeight& linear, const QuantScheme& scheme,
                             const MethodOptions& options, Numerics numerics) {
  const CodeRange range = code_range(scheme);
  if (numerics == Numerics::kPrecise) {
    return quantize_int_rows(linear, scheme, numerics,
                             [&](const IntRun& run) { return precise_scale(run, range, options.step); });
  }
  CHECK(scheme.weight_granularity == Granularity::kChannel);
  const std::vector<RowState> rows = reference_iteration(linear, range, options.step);
  return quantize_int_rows(linear, scheme, numerics,
                           [&](const IntRun& run) { return rows[static_cast<size_t>(run.row)].best_scale; });
}

}  // namespace wanslim
