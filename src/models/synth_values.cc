// SPDX-License-Identifier: Apache-2.0
#include "models/synth_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/hash.h"

namespace wanslim {
namespace {

// Splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) as a function
// of the position in its sequence.
inline uint64_t draw(uint64_t key, int64_t position) {
  uint64_t z = key + (static_cast<uint64_t>(position) + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Independent sequences of one tensor.
constexpr uint64_t kRowSequence = 0x6a09e667f3bcc908u, kColumnSequence = 0xbb67ae8584caa73bu;

uint64_t key_of(uint64_t seed, std::string_view name) {
  const std::string hex = hash_hex(fmt::format("wanslim synth 1\n{}\n{}", seed, name));
  return std::stoull(hex.substr(0, 16), nullptr, 16);
}

// Uniform in [0, 1) from the upper 24 bits: exact in a float.
inline float unit(uint64_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits >> 40)) * 0x1p-24f;
}

// Mean 0, variance 1, at most 3 away from 0 but for the tails. Every product is by a power of two or rounded
// once.
inline float bell(uint64_t bits) {
  const int32_t sum = static_cast<int32_t>(bits & 0xffff) + static_cast<int32_t>(bits >> 16 & 0xffff) +
                      static_cast<int32_t>(bits >> 32 & 0xffff);
  const float value = static_cast<float>(2 * sum - 3 * 0xffff) * 0x1p-16f;
  const uint32_t tail = static_cast<uint32_t>(bits >> 48);
  if (tail >= 64) return value;
  return value * (tail < 2 ? 8.0f : 3.0f);
}

}  // namespace

SynthTensor::SynthTensor(uint64_t seed, const TensorSpec& spec)
    : role_(spec.role), key_(key_of(seed, spec.name)) {
  rows_ = spec.shape.empty() ? 1 : spec.shape[0];
  columns_ = 1;
  for (size_t i = 1; i < spec.shape.size(); ++i) columns_ *= spec.shape[i];
  scale_ = (0.5f + unit(draw(~key_, 0))) / std::sqrt(static_cast<float>(columns_));
}

void SynthTensor::fill(int64_t first, std::span<float> out) const {
  switch (role_) {
    case TensorRole::kLinearWeight:
    case TensorRole::kConvWeight:
    case TensorRole::kEmbedding:
      return fill_weight(first, out);
    case TensorRole::kNormWeight:
      return fill_around(1.0f, 0.125f, first, out);
    case TensorRole::kLinearBias:
    case TensorRole::kConvBias:
    case TensorRole::kNormBias:
    case TensorRole::kPosition:
      return fill_around(0.0f, 0.03125f, first, out);
    case TensorRole::kModulation:
      return fill_around(0.0f, 0.0625f, first, out);
  }
}

float SynthTensor::row_factor(int64_t row) const {
  const uint64_t bits = draw(key_ ^ kRowSequence, row);
  if (bits % 512 == 0) return 0.0f;
  const float factor = (0.6f + unit(bits)) * scale_;
  return bits % 128 == 1 ? factor * 0x1p-14f : factor;
}

void SynthTensor::column_factors(std::span<float> out) const {
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t bits = draw(key_ ^ kColumnSequence, static_cast<int64_t>(i));
    out[i] = bits % 256 == 0 ? 3.0f + 3.0f * unit(bits) : 0.75f + 0.5f * unit(bits);
  }
}

void SynthTensor::fill_weight(int64_t first, std::span<float> out) const {
  std::vector<float> columns(static_cast<size_t>(columns_));
  column_factors(columns);
  for (size_t done = 0; done < out.size();) {
    const int64_t index = first + static_cast<int64_t>(done);
    const int64_t row = index / columns_;
    const size_t column = static_cast<size_t>(index % columns_);
    const size_t count = std::min(columns.size() - column, out.size() - done);
    const float factor = row_factor(row);
    const float* const column_factor = columns.data() + column;
    float* const values = out.data() + done;
    for (size_t i = 0; i < count; ++i)
      values[i] = bell(draw(key_, index + static_cast<int64_t>(i))) * column_factor[i] * factor;
    done += count;
  }
}

void SynthTensor::fill_around(float center, float width, int64_t first, std::span<float> out) const {
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = center + width * bell(draw(key_, first + static_cast<int64_t>(i)));
}

}  // namespace wanslim
