// SPDX-License-Identifier: Apache-2.0
#include "quant/row_quantizer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "quant/methods.h"
#include "quant/preparation.h"

namespace wanslim {
namespace {

// Puts `rows` into `whole`, which has `out` of them, from row `first` on.
void place_rows(const Tensor& rows, int64_t first, int64_t out, Tensor& whole) {
  if (rows.empty()) return;
  CHECK(rows.shape().size() == 2 && first + rows.dim(0) <= out);
  if (whole.empty()) whole = Tensor(rows.dtype(), {out, rows.dim(1)});
  const size_t row_bytes = rows.bytes() / static_cast<size_t>(rows.dim(0));
  std::memcpy(whole.raw().data() + static_cast<size_t>(first) * row_bytes, rows.raw().data(), rows.bytes());
}

// Scales of the rows, or one of the layer, which all slices have alike.
void place_scales(Tensor& scales, int64_t first, int64_t out, Tensor& whole) {
  if (scales.empty() || scales.shape().size() == 2) return place_rows(scales, first, out, whole);
  whole = std::move(scales);
}

RowsNeed need_of(const LayerPlan& layer, const ProcessStep& step, Numerics numerics) {
  if (!layer.quantized() || layer.rotated_outputs > 0 || layer.low_rank > 0) return RowsNeed::kAll;
  const WeightMethod* method = find_weight_method(step.weight.method);
  if (!method) return RowsNeed::kAll;
  if (!method->rows_need) return RowsNeed::kNothing;
  const RowsNeed need =
      method->rows_need(scheme_of(step.activation, step.weight), step.weight.options, numerics);
  // The magnitude that counts is that of the rotated rows, which only quantize_layer sees.
  const bool rotated = layer.hadamard_group > 0 || layer.rotated_inputs > 0;
  return need == RowsNeed::kAbsmax && rotated ? RowsNeed::kAll : need;
}

}  // namespace

bool by_rows(const LayerPlan& layer, const ProcessStep& step, Numerics numerics) {
  return need_of(layer, step, numerics) != RowsNeed::kAll;
}

RowQuantizer::RowQuantizer(const LayerPlan& layer, const ProcessStep& step, Numerics numerics,
                           std::vector<float> energies)
    : layer_(layer), step_(step), numerics_(numerics), energies_(std::move(energies)) {
  const RowsNeed need = need_of(layer, step, numerics);
  CHECK(need != RowsNeed::kAll);
  looks_first_ = need == RowsNeed::kAbsmax;
}

void RowQuantizer::look(Tensor&& rows) {
  const int64_t count = rows.dim(0);
  const float absmax =
      absmax_of({.name = layer_.name, .weight = std::move(rows), .first_row = seen_}, numerics_);
  absmax_ = std::max(absmax_.value_or(0), absmax);
  seen_ += count;
}

void RowQuantizer::add(Tensor&& rows) {
  const int64_t count = rows.dim(0), out = layer_.shape[0];
  CHECK(!looks_first_ || seen_ == out);
  LinearWeight linear{.name = layer_.name,
                      .weight = std::move(rows),
                      .energies = energies_,
                      .first_row = rows_,
                      .absmax = absmax_};
  QuantizedLinear part = quantize_layer(layer_, std::move(linear), step_, numerics_);
  place_rows(part.weight, rows_, out, whole_.weight);
  place_scales(part.scale, rows_, out, whole_.scale);
  place_scales(part.dual_scale, rows_, out, whole_.dual_scale);
  whole_.scheme = part.scheme;
  whole_.hadamard_group = part.hadamard_group;
  rows_ += count;
}

QuantizedLinear RowQuantizer::finish(Tensor&& bias) {
  CHECK(rows_ == layer_.shape[0]);
  whole_.name = layer_.name;
  whole_.bias = bias_as_float({.name = layer_.name, .bias = std::move(bias)}, numerics_);
  return std::move(whole_);
}

}  // namespace wanslim
