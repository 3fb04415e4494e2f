// SPDX-License-Identifier: Apache-2.0
#include "tensor/half.h"

namespace wanslim {
namespace {

// A short float with `exponent_bits` and `mantissa_bits`, IEEE bias and subnormals.
struct Layout {
  int exponent_bits, mantissa_bits;
  bool has_infinity;  // e4m3fn: the top exponent holds numbers, only all-ones is NaN
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint32_t top() const { return (1u << exponent_bits) - 1; }
};
constexpr Layout kF16{5, 10, true}, kE4M3{4, 3, false}, kE5M2{5, 2, true};

float widen(uint32_t bits, const Layout& l) {
  const uint32_t sign = bits >> (l.exponent_bits + l.mantissa_bits);
  const uint32_t exponent = (bits >> l.mantissa_bits) & l.top();
  const uint32_t mantissa = bits & ((1u << l.mantissa_bits) - 1);
  float value;
  if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), 1 - l.bias() - l.mantissa_bits);
  } else if (l.has_infinity && exponent == l.top()) {
    value = mantissa == 0 ? INFINITY : NAN;
  } else if (!l.has_infinity && exponent == l.top() && mantissa == (1u << l.mantissa_bits) - 1) {
    value = NAN;
  } else {
    value = std::ldexp(static_cast<float>(mantissa | (1u << l.mantissa_bits)),
                       static_cast<int>(exponent) - l.bias() - l.mantissa_bits);
  }
  return sign ? -value : value;
}

uint32_t narrow(float value, const Layout& l) {
  const uint32_t sign = std::signbit(value) ? 1u << (l.exponent_bits + l.mantissa_bits) : 0;
  const uint32_t infinity = l.top() << l.mantissa_bits;
  const uint32_t nan =
      l.has_infinity ? infinity | (1u << (l.mantissa_bits - 1)) : infinity | ((1u << l.mantissa_bits) - 1);
  const uint32_t bits = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | nan;
  if (bits == 0x7f800000u) return sign | (l.has_infinity ? infinity : nan);
  const int exponent = static_cast<int>(bits >> 23) - 127, smallest = 1 - l.bias();
  if (exponent < smallest - l.mantissa_bits - 1) return sign;  // below half the smallest subnormal, or zero
  // Cut the mantissa to what the format has; nearest, half to even.
  const int cut = 23 - l.mantissa_bits + (exponent < smallest ? smallest - exponent : 0);
  const uint32_t mantissa = (bits & 0x7fffffu) | 0x800000u, half = 1u << (cut - 1);
  uint32_t units = mantissa >> cut;
  const uint32_t rest = mantissa & ((half << 1) - 1);
  if (rest > half || (rest == half && (units & 1))) ++units;
  // Carry into the exponent happens by itself: units runs up to 2^(mantissa_bits+1).
  const uint32_t code =
      exponent < smallest ? units : units + (static_cast<uint32_t>(exponent - smallest) << l.mantissa_bits);
  const uint32_t limit = l.has_infinity ? infinity : nan;
  return sign | (code >= limit ? limit : code);
}

}  // namespace

float f16_to_float(uint16_t bits) {
  return widen(bits, kF16);
}
uint16_t float_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffff;
  // 2^-14 up to where infinity begins: the common case is a shift with rounding, and the bias changed.
  if (magnitude - 0x38800000u < 0x477ff000u - 0x38800000u) {
    const uint32_t rounded = (magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1)) >> 13;
    return static_cast<uint16_t>((bits >> 16 & 0x8000) | rounded);
  }
  return static_cast<uint16_t>(narrow(value, kF16));
}
float e4m3_to_float(uint8_t bits) {
  return widen(bits, kE4M3);
}
uint8_t float_to_e4m3(float value) {
  return static_cast<uint8_t>(narrow(value, kE4M3));
}
float e5m2_to_float(uint8_t bits) {
  return widen(bits, kE5M2);
}
uint8_t float_to_e5m2(float value) {
  return static_cast<uint8_t>(narrow(value, kE5M2));
}

}  // namespace wanslim
