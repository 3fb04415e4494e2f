// SPDX-License-Identifier: Apache-2.0
// Scalar conversions between float and the short float types, round to nearest even. The definition that the
// SIMD kernels are tested against. NaN stays NaN.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace wanslim {

inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Nearest bf16 value, as float: B(x) of the numerics notes.
inline float round_bf16(float value) {
  return bf16_to_float(float_to_bf16(value));
}

float f16_to_float(uint16_t bits);
uint16_t float_to_f16(float value);

// OCP FP8: e4m3fn has no infinities, largest value 448; e5m2 is IEEE-like, largest finite value 57344.
// Conversion to e4m3fn does not saturate: what rounds above 448 is NaN (0x7f), as in PyTorch.
float e4m3_to_float(uint8_t bits);
uint8_t float_to_e4m3(float value);
float e5m2_to_float(uint8_t bits);
uint8_t float_to_e5m2(float value);

}  // namespace wanslim
