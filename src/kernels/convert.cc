// SPDX-License-Identifier: Apache-2.0
#include "kernels/convert.h"

#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;

// The upper half of each lane is the bf16 value of the float in it.
template <class D, class V>
HWY_INLINE V rounded_bits(D d, V bits) {
  const V odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const V rounded = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fffu)));
  // The sum could carry a NaN into infinity or beyond: keep it, quiet.
  const hn::RebindToSigned<D> di;
  const auto magnitude = hn::BitCast(di, hn::And(bits, hn::Set(d, 0x7fffffffu)));
  const auto is_nan = hn::RebindMask(d, hn::Gt(magnitude, hn::Set(di, 0x7f800000)));
  return hn::IfThenElse(is_nan, hn::Or(bits, hn::Set(d, 0x400000u)), rounded);
}

void widen_bf16(const uint16_t* HWY_RESTRICT src, float* HWY_RESTRICT dst, size_t count) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::Rebind<uint16_t, FloatTag> dh;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, src + i)));
    hn::StoreU(hn::BitCast(d, bits), d, dst + i);
  }
  for (; i < count; ++i) dst[i] = bf16_to_float(src[i]);
}

// Moving exponent and mantissa into place leaves the value too small by 2^112, also if it is subnormal. Done
// by hand because Highway's scalar conversion loses infinities.
void widen_f16(const uint16_t* HWY_RESTRICT src, float* HWY_RESTRICT dst, size_t count) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::RebindToSigned<FloatTag> di;
  const hn::Rebind<uint16_t, FloatTag> dh;
  const auto unbias = hn::Set(d, 0x1p112f);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto half = hn::PromoteTo(du, hn::LoadU(dh, src + i));
    const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(du, 0x8000u)));
    const auto small = hn::ShiftLeft<13>(hn::And(half, hn::Set(du, 0x7fffu)));
    const auto value = hn::BitCast(du, hn::Mul(hn::BitCast(d, small), unbias));
    const auto special = hn::RebindMask(du, hn::Gt(hn::BitCast(di, small), hn::Set(di, 0x0f7fffff)));
    const auto magnitude = hn::IfThenElse(special, hn::Or(small, hn::Set(du, 0x7f800000u)), value);
    hn::StoreU(hn::BitCast(d, hn::Or(magnitude, sign)), d, dst + i);
  }
  for (; i < count; ++i) dst[i] = f16_to_float(src[i]);
}

void narrow_bf16(const float* HWY_RESTRICT src, uint16_t* HWY_RESTRICT dst, size_t count) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::Rebind<uint16_t, FloatTag> dh;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto bits = rounded_bits(du, hn::BitCast(du, hn::LoadU(d, src + i)));
    hn::StoreU(hn::TruncateTo(dh, hn::ShiftRight<16>(bits)), dh, dst + i);
  }
  for (; i < count; ++i) dst[i] = float_to_bf16(src[i]);
}

void round_bf16(const float* src, float* dst, size_t count) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto bits = rounded_bits(du, hn::BitCast(du, hn::LoadU(d, src + i)));
    hn::StoreU(hn::BitCast(d, hn::And(bits, hn::Set(du, 0xffff0000u))), d, dst + i);
  }
  for (; i < count; ++i) dst[i] = wanslim::round_bf16(src[i]);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(widen_bf16);
HWY_EXPORT(widen_f16);
HWY_EXPORT(narrow_bf16);
HWY_EXPORT(round_bf16);

void widen_bf16(std::span<const uint16_t> src, std::span<float> dst) {
  CHECK(src.size() == dst.size());
  HWY_DYNAMIC_DISPATCH(widen_bf16)(src.data(), dst.data(), src.size());
}
void widen_f16(std::span<const uint16_t> src, std::span<float> dst) {
  CHECK(src.size() == dst.size());
  HWY_DYNAMIC_DISPATCH(widen_f16)(src.data(), dst.data(), src.size());
}
void narrow_bf16(std::span<const float> src, std::span<uint16_t> dst) {
  CHECK(src.size() == dst.size());
  HWY_DYNAMIC_DISPATCH(narrow_bf16)(src.data(), dst.data(), src.size());
}
void round_bf16(std::span<const float> src, std::span<float> dst) {
  CHECK(src.size() == dst.size());
  HWY_DYNAMIC_DISPATCH(round_bf16)(src.data(), dst.data(), src.size());
}

}  // namespace wanslim
#endif
