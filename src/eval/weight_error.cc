// SPDX-License-Identifier: Apache-2.0
#include "eval/weight_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"
#include "base/threads.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

double decibel(double signal, double noise) {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

struct Same {
  bool rounded = false;  // the float tensor rounded to the dtype it is stored in
  bool bf16 = false;     // its bf16 values: compat stores biases of quantized layers so
  bool any() const { return rounded || bf16; }
};

Same same_values(const Tensor& stored, const Tensor& model) {
  if (stored.shape() != model.shape()) return {};
  constexpr size_t kPart = 1024;
  std::vector<float> got(kPart), values(kPart);
  const DType dtype = stored.dtype();
  Same same{.rounded = true, .bf16 = dtype == DType::kF32};
  const size_t count = static_cast<size_t>(stored.count());
  for (size_t first = 0; first < count && same.any(); first += kPart) {
    const size_t size = std::min(kPart, count - first);
    read_floats(stored, first, std::span(got).first(size));
    read_floats(model, first, std::span(values).first(size));
    for (size_t i = 0; i < size; ++i) {
      const float value = values[i];
      const float expected = dtype == DType::kBF16  ? round_bf16(value)
                             : dtype == DType::kF16 ? f16_to_float(float_to_f16(value))
                                                    : value;
      if (got[i] != expected) same.rounded = false;
      if (got[i] != round_bf16(value)) same.bf16 = false;
    }
  }
  return same;
}

// A large tensor in slices of rows: a table of tokens has gigabytes.
bool is_float_of(const WeightSource& result, const WeightSource& model, const std::string& name,
                 Progress& progress, int64_t slice) {
  const Shape shape = model.shape(name);
  if (result.shape(name) != shape) return false;
  if (shape.empty() || element_count(shape) <= slice) {
    const Tensor weight = model.load(name), stored = result.load(name);
    progress.advance(weight.bytes(), name);
    return same_values(stored, weight).any();
  }
  const int64_t step = std::max<int64_t>(1, slice / std::max<int64_t>(1, element_count(shape) / shape[0]));
  Same same{.rounded = true, .bf16 = true};
  for (int64_t first = 0; first < shape[0] && same.any(); first += step) {
    throw_if_interrupted();
    const int64_t count = std::min(step, shape[0] - first);
    const Tensor weight = model.load_rows(name, first, count), stored = result.load_rows(name, first, count);
    const Same slice_same = same_values(stored, weight);
    same.rounded = same.rounded && slice_same.rounded;
    same.bf16 = same.bf16 && slice_same.bf16;
    progress.advance(weight.bytes(), name);
  }
  return same.any();
}

}  // namespace

LayerError weight_error(const QuantizedLinear& quantized, const Tensor& weight) {
  const int64_t out = out_features(quantized), in = in_features(quantized);
  if (weight.shape() != Shape{out, in}) {
    throw Error({.what = "the quantized weight is " + to_string({out, in}) + ", the float one " +
                         to_string(weight.shape()),
                 .where = quantized.name});
  }
  // What needs more than a row at a time (low rank, smoothing, rotation) goes through the whole matrix.
  const bool by_row = quantized.lora_up.empty() && quantized.smooth.empty() && quantized.hadamard_group == 0;
  const Tensor whole = by_row ? Tensor() : dequantize(quantized);
  std::vector<double> signal(static_cast<size_t>(out)), noise(static_cast<size_t>(out));
  parallel_for(out, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(in)), exact(row.size());
    for (int64_t r = begin; r < end; ++r) {
      read_floats(weight, static_cast<size_t>(r * in), exact);
      if (by_row) {
        dequantize_row(quantized, r, row);
      } else {
        std::copy_n(whole.as<float>().begin() + r * in, in, row.begin());
      }
      for (size_t c = 0; c < row.size(); ++c) {
        const double value = exact[c], difference = value - row[c];
        signal[static_cast<size_t>(r)] += value * value;
        noise[static_cast<size_t>(r)] += difference * difference;
      }
    }
  });
  LayerError error{.layer = quantized.name};
  for (size_t r = 0; r < signal.size(); ++r) {
    error.signal += signal[r];
    error.noise += noise[r];
  }
  error.sqnr_db = decibel(error.signal, error.noise);
  return error;
}

WeightErrors compare_weights(const WeightSource& result, const WeightSource& model,
                             const std::vector<std::string>& linears, const std::vector<std::string>& tensors,
                             Progress& progress, int64_t slice) {
  WeightErrors errors;
  uint64_t total = 0;
  for (const std::string& name : tensors)
    total += static_cast<uint64_t>(element_count(model.shape(name))) * size_of(model.dtype(name));
  progress.start("comparing", total);
  double signal = 0, noise = 0;
  for (const std::string& layer : linears) {
    throw_if_interrupted();
    const std::optional<QuantizedLinear> quantized = result.load_quantized(layer);
    if (!quantized) continue;
    const Tensor weight = model.load(layer + ".weight");
    errors.layers.push_back(weight_error(*quantized, weight));
    signal += errors.layers.back().signal;
    noise += errors.layers.back().noise;
    progress.advance(weight.bytes(), layer);
  }
  for (const std::string& name : tensors) {
    throw_if_interrupted();
    if (!result.has(name) || !info(result.dtype(name)).is_float || result.dtype(name) == DType::kF8E4M3)
      continue;
    if (!is_float_of(result, model, name, progress, slice)) errors.float_differs.push_back(name);
  }
  progress.finish();
  errors.total_sqnr_db = decibel(signal, noise);
  return errors;
}

}  // namespace wanslim
