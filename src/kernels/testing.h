// SPDX-License-Identifier: Apache-2.0
// For tests of kernels: reproducible numbers and comparisons.
#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/half.h"

namespace wanslim {

// A linear congruential generator (Knuth, MMIX): the same numbers everywhere.
class TestNumbers {
 public:
  explicit TestNumbers(uint64_t seed) : state_(seed * 2 + 1) {}
  uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  float uniform() { return static_cast<float>(bits() >> 8) * 0x1p-23f - 1.0f; }  // [-1, 1)
  int8_t code() { return static_cast<int8_t>(bits() >> 24); }

  std::vector<float> floats(int64_t count, float scale = 1.0f) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = uniform() * scale;
    return values;
  }
  std::vector<int8_t> codes(int64_t count) {
    std::vector<int8_t> values(static_cast<size_t>(count));
    for (int8_t& v : values) v = code();
    return values;
  }

 private:
  uint64_t state_;
};

inline std::vector<uint16_t> to_bf16(std::span<const float> values) {
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = float_to_bf16(values[i]);
  return bits;
}

inline std::vector<float> to_float(std::span<const uint16_t> bits) {
  std::vector<float> values(bits.size());
  for (size_t i = 0; i < bits.size(); ++i) values[i] = bf16_to_float(bits[i]);
  return values;
}

// ||a - b|| / ||b||.
template <class A, class B>
double relative_l2(const A& a, const B& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (double{a[i]} - double{b[i]}) * (double{a[i]} - double{b[i]});
    size += double{b[i]} * double{b[i]};
  }
  return std::sqrt(difference / (size > 0 ? size : 1));
}

}  // namespace wanslim
