// SPDX-License-Identifier: Apache-2.0
#include "quant/clip.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "quant/int_rows.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

// Ratios to the scale that clips nothing. The search is a grid and then a finer one around the best of it,
// because the error of a short run jumps from scale to scale.
struct Search {
  float lowest;
  int coarse, fine;
};
constexpr Search kInt8Search{0.6f, 12, 6}, kInt4Search{0.4f, 16, 6};

float clip_scale(const IntRun& run, CodeRange range, std::span<const float> weights) {
  const float start = choose_scale(run.values, run.absmax, range);
  if (run.absmax == 0) return start;
  const Search& search = range.high == kInt4Range.high ? kInt4Search : kInt8Search;
  const float step = (1 - search.lowest) / static_cast<float>(search.coarse);
  auto scaled = [&](float ratio) { return std::max(round_bf16(start * ratio), 0x1p-126f); };
  std::vector<float> scales = {start};
  for (int k = 1; k <= search.coarse; ++k) scales.push_back(scaled(1 - step * static_cast<float>(k)));
  const float coarse = best_scale(run.values, scales, range, weights);
  scales.assign({start, coarse});
  for (int k = 1; k <= search.fine; ++k) {
    const float shift = step * static_cast<float>(k) / static_cast<float>(search.fine + 1);
    scales.push_back(std::max(round_bf16(coarse + start * shift), 0x1p-126f));
    scales.push_back(std::max(round_bf16(coarse - start * shift), 0x1p-126f));
  }
  return best_scale(run.values, scales, range, weights);
}

}  // namespace

QuantizedLinear quantize_clip(const LinearWeight& linear, const QuantScheme& scheme,
                              std::span<const float> energies) {
  CHECK(energies.empty() || energies.size() == static_cast<size_t>(linear.in()));
  const CodeRange range = code_range(scheme);
  return quantize_int_rows(linear, scheme, Numerics::kPrecise, [&](const IntRun& run) {
    const std::span<const float> weights =
        energies.empty() ? energies : energies.subspan(static_cast<size_t>(run.first), run.values.size());
    return clip_scale(run, range, weights);
  });
}

}  // namespace wanslim
