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

float element(const Tensor& tensor, size_t index) {
  switch (tensor.dtype()) {
    case DType::kF32:
      return tensor.as<float>()[index];
    case DType::kBF16:
      return bf16_to_float(tensor.as<uint16_t>()[index]);
    case DType::kF16:
      return f16_to_float(tensor.as<uint16_t>()[index]);
    default:
      throw Error({.what = "expected a float tensor, got " + std::string(name_of(tensor.dtype()))});
  }
}

// Is `stored` the float tensor rounded to the dtype it is stored in?
bool same_rounded(const Tensor& stored, const Tensor& model) {
  if (stored.shape() != model.shape()) return false;
  for (size_t i = 0; i < static_cast<size_t>(stored.count()); ++i) {
    const float value = element(model, i);
    const float expected = stored.dtype() == DType::kBF16  ? round_bf16(value)
                           : stored.dtype() == DType::kF16 ? f16_to_float(float_to_f16(value))
                                                           : value;
    if (element(stored, i) != expected) return false;
  }
  return true;
}

// Does `stored` hold the bf16 values of the float tensor? compat stores biases of quantized layers so.
bool same_bf16(const Tensor& stored, const Tensor& model) {
  if (stored.dtype() != DType::kF32 || stored.shape() != model.shape()) return false;
  for (size_t i = 0; i < static_cast<size_t>(stored.count()); ++i) {
    if (element(stored, i) != round_bf16(element(model, i))) return false;
  }
  return true;
}

// A large tensor in slices of rows: a table of tokens has gigabytes.
bool is_float_of(const WeightSource& result, const WeightSource& model, const std::string& name,
                 Progress& progress, int64_t slice) {
  const Shape shape = model.shape(name);
  if (result.shape(name) != shape) return false;
  if (shape.empty() || element_count(shape) <= slice) {
    const Tensor weight = model.load(name), stored = result.load(name);
    progress.advance(weight.bytes(), name);
    return same_rounded(stored, weight) || same_bf16(stored, weight);
  }
  const int64_t step = std::max<int64_t>(1, slice / std::max<int64_t>(1, element_count(shape) / shape[0]));
  bool rounded = true, bf16 = true;
  for (int64_t first = 0; first < shape[0] && (rounded || bf16); first += step) {
    throw_if_interrupted();
    const int64_t count = std::min(step, shape[0] - first);
    const Tensor weight = model.load_rows(name, first, count), stored = result.load_rows(name, first, count);
    rounded = rounded && same_rounded(stored, weight);
    bf16 = bf16 && same_bf16(stored, weight);
    progress.advance(weight.bytes(), name);
  }
  return rounded || bf16;
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
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t r = begin; r < end; ++r) {
      const auto at = static_cast<size_t>(r * in);
      if (by_row) {
        dequantize_row(quantized, r, row);
      } else {
        std::copy_n(whole.as<float>().begin() + r * in, in, row.begin());
      }
      for (size_t c = 0; c < row.size(); ++c) {
        const double value = element(weight, at + c), difference = value - row[c];
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
