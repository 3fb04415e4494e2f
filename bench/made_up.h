// SPDX-License-Identifier: Apache-2.0
// Weights for benchmarks that stand in no file.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/synth_values.h"
#include "tensor/half.h"
#include "tensor/weight_source.h"

namespace wanslim {

// The tensors of a list with the values of synthetic checkpoints, in F32 or BF16. With `int8`, the Linears
// that it names have int8 codes per channel for W8A8 with dynamic activations.
class MadeUp : public WeightSource {
 public:
  using Chosen = std::function<bool(const TensorSpec&)>;
  explicit MadeUp(std::vector<TensorSpec> specs, DType dtype = DType::kBF16, Chosen int8 = {})
      : dtype_(dtype), int8_(std::move(int8)) {
    for (TensorSpec& spec : specs) specs_.emplace(spec.name, std::move(spec));
  }
  bool has(std::string_view tensor) const override { return specs_.contains(tensor); }
  Shape shape(std::string_view tensor) const override { return at(tensor).shape; }
  DType dtype(std::string_view) const override { return dtype_; }
  Tensor load(std::string_view tensor) const override { return load_rows(tensor, 0, at(tensor).shape[0]); }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override {
    const TensorSpec& spec = at(tensor);
    Shape shape = spec.shape;
    shape[0] = count;
    Tensor wide(DType::kF32, shape);
    SynthTensor(0, spec).fill(first * (element_count(spec.shape) / spec.shape[0]), wide.as<float>());
    if (dtype_ == DType::kF32) return wide;
    Tensor narrow(DType::kBF16, shape);
    for (size_t i = 0; i < narrow.as<uint16_t>().size(); ++i) {
      narrow.as<uint16_t>()[i] = float_to_bf16(wide.as<float>()[i]);
    }
    return narrow;
  }
  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override {
    const auto it = specs_.find(std::string(layer) + ".weight");
    if (!int8_ || it == specs_.end() || !int8_(it->second)) return std::nullopt;
    const Shape& shape = it->second.shape;
    QuantizedLinear q{.name = std::string(layer),
                      .scheme = {.weight = Encoding::kInt8,
                                 .activation = Encoding::kInt8,
                                 .activation_granularity = Granularity::kToken}};
    std::vector<float> row(static_cast<size_t>(shape[1]));
    q.weight = Tensor(DType::kI8, shape);
    q.scale = Tensor(DType::kF32, {shape[0], 1});
    for (int64_t r = 0; r < shape[0]; ++r) {
      SynthTensor(0, it->second).fill(r * shape[1], row);
      float most = 1e-6f;
      for (float x : row) most = std::max(most, std::abs(x));
      const float scale = round_bf16(most / 127);
      q.scale.as<float>()[r] = scale;
      for (int64_t i = 0; i < shape[1]; ++i) {
        const float code = std::nearbyint(row[static_cast<size_t>(i)] / scale);
        q.weight.as<int8_t>()[r * shape[1] + i] =
            static_cast<int8_t>(std::min(127.0f, std::max(-128.0f, code)));
      }
    }
    return q;
  }

 private:
  const TensorSpec& at(std::string_view tensor) const { return specs_.find(tensor)->second; }

  std::map<std::string, TensorSpec, std::less<>> specs_;
  DType dtype_;
  Chosen int8_;
};

}  // namespace wanslim
