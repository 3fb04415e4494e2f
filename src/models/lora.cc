// SPDX-License-Identifier: Apache-2.0
#include "models/lora.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/low_rank.h"
#include "models/float_weights.h"
#include "nn/rows.h"

namespace wanslim {
namespace {

// Lengths of the rows or of the columns of [out, in], never zero; each a sum in order.
std::vector<double> lengths(std::span<const float> values, int64_t out, int64_t in, bool rows) {
  std::vector<double> sums(static_cast<size_t>(rows ? out : in));
  parallel_for(rows ? out : in, 64, [&](int64_t begin, int64_t end) {
    for (int64_t o = rows ? begin : 0; o < (rows ? end : out); ++o) {
      for (int64_t i = rows ? 0 : begin; i < (rows ? in : end); ++i) {
        const double value = values[static_cast<size_t>(o * in + i)];
        sums[static_cast<size_t>(rows ? o : i)] += value * value;
      }
    }
  });
  for (double& sum : sums) sum = std::sqrt(sum) + std::numeric_limits<float>::epsilon();
  return sums;
}

// weight += strength * (magnitude * direction / |direction| - weight)
void set_magnitude(std::span<float> weight, std::span<const float> direction,
                   std::span<const float> magnitude, int64_t out, int64_t in, bool rows, double strength) {
  const std::vector<double> norms = lengths(direction, out, in, rows);
  parallel_for(out, 64, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        const auto at = static_cast<size_t>(o * in + i), group = static_cast<size_t>(rows ? o : i);
        const double target = double{magnitude[group]} * double{direction[at]} / norms[group];
        weight[at] = static_cast<float>(weight[at] + strength * (target - weight[at]));
      }
    }
  });
}

int64_t columns(const Shape& shape) {
  return element_count(shape) / std::max<int64_t>(1, shape[0]);
}

uint64_t float_bytes(const StoredTensor* tensor) {
  return tensor ? static_cast<uint64_t>(element_count(tensor->shape)) * sizeof(float) : 0;
}

}  // namespace

std::vector<float> LoraSet::load(const Patch& patch, const StoredTensor& tensor) const {
  const Checkpoint& checkpoint = checkpoints_[patch.file];
  std::vector<float> values = to_floats(checkpoint.load(tensor), tensor.name);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]))
      throw Error({.what = fmt::format("element {} is {}", i, values[i]),
                   .where = checkpoint.describe(tensor),
                   .hint = "the LoRA is damaged; download it again"});
  }
  return values;
}

void LoraSet::apply_patch(const Patch& patch, Tensor& weight) const {
  const double strength = files_[patch.file].strength;
  const std::span<float> values = weight.as<float>();
  if (patch.diff) {
    const std::vector<float> diff = load(patch, *patch.diff);
    const auto factor = static_cast<float>(strength);
    for (size_t i = 0; i < values.size(); ++i) values[i] += factor * diff[i];
    return;
  }
  const std::vector<float> down = load(patch, *patch.down), up = load(patch, *patch.up);
  const int64_t out = weight.dim(0), in = columns(weight.shape()), rank = patch.down->shape[0];
  if (!patch.magnitude) {
    add_low_rank(weight.as<float>().data(), out, in, up.data(), down.data(), rank,
                 static_cast<float>(strength * patch.scale));
    return;
  }
  const std::vector<float> magnitude = load(patch, *patch.magnitude);
  std::vector<float> direction(values.begin(), values.end());
  add_low_rank(direction.data(), out, in, up.data(), down.data(), rank, static_cast<float>(patch.scale));
  const Shape& shape = patch.magnitude->shape;
  const bool per_column = element_count(shape) == in && shape.size() > 1 && shape[0] == 1;
  const bool rows = element_count(shape) == out && !per_column;
  set_magnitude(values, direction, magnitude, out, in, rows, strength);
}

void LoraSet::apply(std::string_view tensor, Tensor& weight) const {
  const auto found = patches_.find(tensor);
  if (found == patches_.end()) return;
  CHECK(weight.dtype() == DType::kF32);
  for (const Patch& patch : found->second) apply_patch(patch, weight);
}

void LoraSet::check_unchanged() const {
  for (const Checkpoint& checkpoint : checkpoints_) checkpoint.check_unchanged();
}

uint64_t LoraSet::memory(std::string_view tensor) const {
  const auto found = patches_.find(tensor);
  if (found == patches_.end()) return 0;
  uint64_t most = 0, whole = 0;
  for (const Patch& patch : found->second) {
    whole = std::max(whole, patch.elements * sizeof(float));
    const uint64_t direction = patch.magnitude ? patch.elements * sizeof(float) : 0;
    most = std::max(most, direction + float_bytes(patch.down) + float_bytes(patch.up) +
                              float_bytes(patch.magnitude) + float_bytes(patch.diff));
  }
  return whole + most;
}

Tensor LoraSource::load_rows(std::string_view tensor, int64_t first, int64_t count) const {
  return loras_.touches(tensor) ? WeightSource::load_rows(tensor, first, count)
                                : weights_.load_rows(tensor, first, count);
}

Tensor LoraSource::load(std::string_view tensor) const {
  Tensor stored = weights_.load(tensor);
  if (!loras_.touches(tensor)) return stored;
  Tensor wide = stored.dtype() == DType::kF32 ? std::move(stored) : to_f32(stored);
  loras_.apply(tensor, wide);
  return wide;
}

}  // namespace wanslim
