// SPDX-License-Identifier: Apache-2.0
// Rounding to the short floats of minifloat.h on Highway vectors of up to 16 floats. Included once per SIMD
// target, hence no #pragma once.
#if defined(WANSLIM_KERNELS_MINIFLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WANSLIM_KERNELS_MINIFLOAT_INL_H_
#undef WANSLIM_KERNELS_MINIFLOAT_INL_H_
#else
#define WANSLIM_KERNELS_MINIFLOAT_INL_H_
#endif

#include <bit>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/minifloat.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using BitTag = hn::RebindToUnsigned<Tag>;
using IntTag = hn::RebindToSigned<Tag>;
using Floats = hn::Vec<Tag>;
using Bits = hn::Vec<BitTag>;
constexpr size_t kLanes = 16;

constexpr size_t kVectors = kLanes / hn::MaxLanes(Tag());  // that make 16 lanes

// The sum of 16 lanes, in halves as minifloat.h says.
HWY_INLINE float fold(const Floats (&sums)[kVectors]) {
#if HWY_TARGET == HWY_SCALAR
  float lanes[kLanes];
  for (size_t k = 0; k < kLanes; ++k) lanes[k] = hn::GetLane(sums[k]);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  return lanes[0];
#else
  [[maybe_unused]] const hn::FixedTag<float, 4> d4;
#if HWY_MAX_BYTES >= 64
  const hn::FixedTag<float, 8> d8;
  const auto eight = hn::Add(hn::LowerHalf(d8, sums[0]), hn::UpperHalf(d8, sums[0]));
  const auto four = hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
#elif HWY_MAX_BYTES == 32
  const auto eight = hn::Add(sums[0], sums[1]);
  const auto four = hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
#else
  const auto four = hn::Add(hn::Add(sums[0], sums[2]), hn::Add(sums[1], sums[3]));
#endif
  const auto two = hn::Add(four, hn::Shuffle1032(four));
  return hn::GetLane(hn::Add(two, hn::Shuffle2301(two)));
#endif
}

HWY_INLINE Floats to_bf16(Floats v) {
  const Tag d;
  const BitTag du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  return hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
}

// 2^p, p the exponent of a value but at least that of `least`.
HWY_INLINE Bits binade_from(Floats value, Bits least) {
  return hn::Max(hn::And(hn::BitCast(BitTag(), value), hn::Set(BitTag(), 0x7f800000u)), least);
}
template <int kMinExponent>
HWY_INLINE Bits binade(Floats value) {
  return binade_from(value, hn::Set(BitTag(), static_cast<uint32_t>(127 + kMinExponent) << 23));
}

// Adding and taking away a power of two large enough leaves the wanted number of mantissa bits, half to even.
template <int kMantissa, int kMinExponent>
HWY_INLINE Floats nearest_even(Floats magnitude) {
  const Tag d;
  const BitTag du;
  const auto big = hn::BitCast(
      d, hn::Add(binade<kMinExponent>(magnitude), hn::Set(du, static_cast<uint32_t>(23 - kMantissa) << 23)));
  return hn::Sub(hn::Add(magnitude, big), big);
}

// The same of values of either sign: the sum with one and a half times that power stays within its binade.
// The least binade is that of `least`.
template <int kMantissa>
HWY_INLINE Floats nearest_even_from(Floats y, Bits least) {
  const Tag d;
  const BitTag du;
  constexpr uint32_t kUp = (static_cast<uint32_t>(23 - kMantissa) << 23) | 0x400000u;
  const auto big = hn::BitCast(d, hn::Add(binade_from(y, least), hn::Set(du, kUp)));
  return hn::Sub(hn::Add(y, big), big);
}
template <int kMantissa, int kMinExponent>
HWY_INLINE Floats nearest_even_signed(Floats y) {
  return nearest_even_from<kMantissa>(y, hn::Set(BitTag(), static_cast<uint32_t>(127 + kMinExponent) << 23));
}

// Code of the nearest value, half to even: of the sum above the mantissa's low bits count units of the last
// place from 0, and the exponent above the smallest counts for 2^mantissa units each.
template <int kMantissa, int kMinExponent>
HWY_INLINE Bits nearest_even_code(Floats magnitude) {
  const Tag d;
  const BitTag du;
  const auto power = binade<kMinExponent>(magnitude);
  const auto big = hn::Add(power, hn::Set(du, static_cast<uint32_t>(23 - kMantissa) << 23));
  const auto units = hn::Sub(hn::BitCast(du, hn::Add(magnitude, hn::BitCast(d, big))), big);
  const auto smallest = hn::Set(du, static_cast<uint32_t>(127 + kMinExponent) << kMantissa);
  return hn::Add(units, hn::Sub(hn::ShiftRight<23 - kMantissa>(power), smallest));
}

// floor(magnitude / 2^p * 2^mantissa + 1/2) / 2^mantissa * 2^p, operation by operation.
template <int kMantissa, int kMinExponent>
HWY_INLINE Floats half_away(Floats magnitude) {
  const Tag d;
  const BitTag du;
  const IntTag di;
  const auto power = binade<kMinExponent>(magnitude);
  // 2^-p, from the exponent field 254 - (p + 127).
  const auto inverse = hn::BitCast(d, hn::Sub(hn::Set(du, 254u << 23), power));
  const auto units = hn::Mul(hn::Mul(magnitude, inverse), hn::Set(d, static_cast<float>(1 << kMantissa)));
  const auto whole = hn::ConvertTo(d, hn::ConvertTo(di, hn::Add(units, hn::Set(d, 0.5f))));
  return hn::Mul(hn::Mul(whole, hn::Set(d, 1.0f / static_cast<float>(1 << kMantissa))),
                 hn::BitCast(d, power));
}

// Code of a magnitude that is a value of the format.
template <int kMantissa, int kMinExponent>
HWY_INLINE Bits code_of(Floats value) {
  const Tag d;
  const BitTag du;
  const auto smallest = hn::Set(d, std::bit_cast<float>(static_cast<uint32_t>(127 + kMinExponent) << 23));
  // A subnormal plus 2^min_exponent has its code in the mantissa, and one exponent too many.
  const auto subnormal = hn::Lt(value, smallest);
  const auto normal = hn::Add(value, hn::IfThenElseZero(subnormal, smallest));
  const auto excess = hn::IfThenElse(hn::RebindMask(du, subnormal),
                                     hn::Set(du, static_cast<uint32_t>(127 + kMinExponent) << kMantissa),
                                     hn::Set(du, static_cast<uint32_t>(126 + kMinExponent) << kMantissa));
  return hn::Sub(hn::ShiftRight<23 - kMantissa>(hn::BitCast(du, normal)), excess);
}

template <int kMantissa, int kMinExponent>
struct MiniFormat {
  static constexpr int kSignBit = kMantissa == 3 ? 7 : 3;

  static HWY_INLINE Floats even(Floats y, Floats max) {
    return nearest_even<kMantissa, kMinExponent>(hn::Min(hn::Abs(y), max));
  }
  static HWY_INLINE Floats even_signed(Floats y) { return nearest_even_signed<kMantissa, kMinExponent>(y); }
  static HWY_INLINE Floats away(Floats y, Floats max) {
    return hn::Min(half_away<kMantissa, kMinExponent>(hn::Min(hn::Abs(y), max)), max);
  }

  template <MiniRule kRule>
  static HWY_INLINE Bits code(Floats x, Floats scale, Floats max) {
    const Tag d;
    const BitTag du;
    auto y = kRule == MiniRule::kEvenInverse ? hn::Mul(x, scale) : hn::Div(x, scale);
    if constexpr (kRule == MiniRule::kEvenBf16) y = to_bf16(y);
    const auto sign = hn::ShiftLeft<kSignBit>(hn::ShiftRight<31>(hn::BitCast(du, y)));
    if constexpr (kRule == MiniRule::kAway) {
      return hn::Or(code_of<kMantissa, kMinExponent>(away(y, max)),
                    hn::IfThenElseZero(hn::RebindMask(du, hn::Ne(y, hn::Zero(d))), sign));
    } else {
      return hn::Or(nearest_even_code<kMantissa, kMinExponent>(hn::Min(hn::Abs(y), max)), sign);
    }
  }
};
using E4M3 = MiniFormat<3, -6>;
using E2M1 = MiniFormat<1, 0>;

// Sum of (y - round(y))^2 over a block, y = value * inverse.
template <class F>
HWY_INLINE float error_of(const float* HWY_RESTRICT block, size_t size, float max, float inverse) {
  const Tag d;
  const auto vmax = hn::Set(d, max), inv = hn::Set(d, inverse);
  Floats sums[kVectors];
  for (Floats& sum : sums) sum = hn::Zero(d);
  for (size_t i = 0; i < size; i += kLanes) {
    for (size_t k = 0; k < kVectors; ++k) {
      const auto y = hn::Mul(hn::LoadU(d, block + i + k * hn::MaxLanes(d)), inv);
      const auto e = hn::Sub(hn::Abs(y), F::even(y, vmax));
      sums[k] = hn::Add(sums[k], hn::Mul(e, e));
    }
  }
  return fold(sums);
}

// The same where every y rounds to at most the format's largest value, so that none has to be clipped.
template <class F>
HWY_INLINE float error_within(const float* HWY_RESTRICT block, size_t size, float inverse) {
  const Tag d;
  const auto inv = hn::Set(d, inverse);
  Floats sums[kVectors];
  for (Floats& sum : sums) sum = hn::Zero(d);
  for (size_t i = 0; i < size; i += kLanes) {
    for (size_t k = 0; k < kVectors; ++k) {
      const auto y = hn::Mul(hn::LoadU(d, block + i + k * hn::MaxLanes(d)), inv);
      const auto e = hn::Sub(y, F::even_signed(y));
      sums[k] = hn::Add(sums[k], hn::Mul(e, e));
    }
  }
  return fold(sums);
}

}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
