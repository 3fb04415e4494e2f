// SPDX-License-Identifier: Apache-2.0
// exp, erf and the activations on Highway vectors of float, within 2e-7 of the exact value relative to the
// larger of result and input (activation_test.cc). The polynomials are least-squares fits made for this file.
// NaN stays NaN. Included once per SIMD target, hence no #pragma once.
#if defined(WANSLIM_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WANSLIM_KERNELS_ACTIVATION_INL_H_
#undef WANSLIM_KERNELS_ACTIVATION_INL_H_
#else
#define WANSLIM_KERNELS_ACTIVATION_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// x within [low, high]; NaN stays NaN: x86 returns it as second operand, others never.
template <class D, class V>
HWY_INLINE V clamp_v(D d, float low, float high, V x) {
  const V least = hn::Set(d, low), most = hn::Set(d, high);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Min(most, hn::Max(least, x));
#else
  return hn::IfThenElse(hn::Lt(x, least), least, hn::IfThenElse(hn::Gt(x, most), most, x));
#endif
}

// Integers from whole numbers. What NaN becomes does not matter, but the emulated target converts with a C++
// cast.
template <class DI, class V>
HWY_INLINE auto to_int_v(DI di, V x) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  x = hn::IfThenElseZero(hn::Eq(x, x), x);
#endif
  return hn::ConvertTo(di, x);
}

// e^x for x <= 88; below -87 the result is about e^-87. x = n ln 2 + r, |r| <= ln(2)/2.
template <class D, class V>
HWY_INLINE V exp_v(D d, V x) {
  const hn::RebindToSigned<D> di;
  x = clamp_v(d, -87.0f, 88.0f, x);
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  V p = hn::Set(d, 0.00138146116f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.00836871006f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416683890f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166665211f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.499999940f));
  p = hn::MulAdd(hn::Mul(r, r), p, hn::Add(r, hn::Set(d, 1.0f)));
  const auto exponent = hn::Add(to_int_v(di, n), hn::Set(di, 127));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

// Below 1 a polynomial in x^2; above, 1 - e^(-x^2) q(t) with t = 1 / (1 + x/2).
template <class D, class V>
HWY_INLINE V erf_v(D d, V x) {
  const V size = hn::Min(hn::Abs(x), hn::Set(d, 4.0f));
  const V square = hn::Mul(x, x);
  V small = hn::Set(d, 7.88911930e-5f);
  for (float c :
       {-8.02084163e-4f, 5.18953521e-3f, -2.68544443e-2f, 0.112836003f, -0.376126260f, 1.12837911f}) {
    small = hn::MulAdd(small, square, hn::Set(d, c));
  }
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(size, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  V q = hn::Set(d, -0.230801612f);
  for (float c : {0.636679828f, -0.0644604266f, 0.396801949f, 0.259700656f, 0.00182247802f}) {
    q = hn::MulAdd(q, t, hn::Set(d, c));
  }
  const V large = hn::NegMulAdd(exp_v(d, hn::Neg(hn::Mul(size, size))), q, hn::Set(d, 1.0f));
  return hn::IfThenElse(hn::Gt(size, hn::Set(d, 1.0f)), hn::CopySign(large, x), hn::Mul(small, x));
}

// x / (1 + e^-x).
template <class D, class V>
HWY_INLINE V silu_v(D d, V x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_v(d, hn::Neg(x))));
}

// x/2 (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class D, class V>
HWY_INLINE V gelu_tanh_v(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
  const V minus_2u = hn::Mul(hn::Mul(x, hn::Set(d, -1.59576912f)), cubic);
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_v(d, minus_2u)));
}

template <class D, class V>
HWY_INLINE V gelu_erf_v(D d, V x) {
  const V half = hn::Mul(x, hn::Set(d, 0.5f));
  return hn::MulAdd(half, erf_v(d, hn::Mul(x, hn::Set(d, 0.707106781f))), half);
}

// Nearest bf16 as float, ties to even; NaN stays NaN.
template <class D, class V>
HWY_INLINE V round_bf16_v(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  const V value = hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
  return hn::IfThenElse(hn::Eq(x, x), value, x);
}

}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
