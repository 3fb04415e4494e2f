// SPDX-License-Identifier: Apache-2.0
#include "kernels/minifloat.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/minifloat.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using BitTag = hn::RebindToUnsigned<Tag>;
using IntTag = hn::RebindToSigned<Tag>;
using Floats = hn::Vec<Tag>;
using Bits = hn::Vec<BitTag>;
constexpr size_t kLanes = 16;

HWY_INLINE float fold(float* HWY_RESTRICT lanes) {
  const hn::CappedTag<float, 8> d8;
  for (size_t k = 0; k < 8; k += hn::Lanes(d8)) {
    hn::Store(hn::Add(hn::Load(d8, lanes + k), hn::Load(d8, lanes + k + 8)), d8, lanes + k);
  }
  const hn::CappedTag<float, 4> d4;
  for (size_t k = 0; k < 4; k += hn::Lanes(d4)) {
    hn::Store(hn::Add(hn::Load(d4, lanes + k), hn::Load(d4, lanes + k + 4)), d4, lanes + k);
  }
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

HWY_INLINE Floats to_bf16(Floats v) {
  const Tag d;
  const BitTag du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  return hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
}

// 2^p, p the exponent of a magnitude but at least the format's smallest.
template <int kMinExponent>
HWY_INLINE Bits binade(Floats magnitude) {
  const BitTag du;
  const auto smallest = hn::Set(du, static_cast<uint32_t>(127 + kMinExponent) << 23);
  return hn::Max(hn::And(hn::BitCast(du, magnitude), hn::Set(du, 0x7f800000u)), smallest);
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
struct Format {
  static constexpr int kSignBit = kMantissa == 3 ? 7 : 3;

  static HWY_INLINE Floats even(Floats y, Floats max) {
    return nearest_even<kMantissa, kMinExponent>(hn::Min(hn::Abs(y), max));
  }
  static HWY_INLINE Floats away(Floats y, Floats max) {
    return hn::Min(half_away<kMantissa, kMinExponent>(hn::Min(hn::Abs(y), max)), max);
  }

  template <MiniRule kRule>
  static HWY_INLINE Bits code(Floats x, Floats scale, Floats max) {
    const Tag d;
    const BitTag du;
    auto y = hn::Div(x, scale);
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
using E4M3 = Format<3, -6>;
using E2M1 = Format<1, 0>;

void absmax_blocks(const float* HWY_RESTRICT row, size_t blocks, size_t block, float* HWY_RESTRICT absmax) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t b = 0; b < blocks; ++b, row += block) {
    auto largest = hn::Abs(hn::LoadU(d, row));
    for (size_t i = lanes; i < block; i += lanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, row + i)));
    absmax[b] = hn::GetLane(hn::MaxOfLanes(d, largest));
  }
}

template <class F, MiniRule kRule>
HWY_INLINE void codes_of(const float* HWY_RESTRICT row, size_t count, size_t block, float max,
                         const float* HWY_RESTRICT scales, uint8_t* HWY_RESTRICT codes) {
  const Tag d;
  const hn::Rebind<uint8_t, Tag> db;
  const auto vmax = hn::Set(d, max);
  const size_t lanes = hn::Lanes(d);
  for (size_t start = 0; start < count; start += block, ++scales) {
    const auto scale = hn::Set(d, *scales);
    const size_t end = std::min(count, start + block);
    size_t i = start;
    for (; i + lanes <= end; i += lanes) {
      hn::StoreU(hn::TruncateTo(db, F::template code<kRule>(hn::LoadU(d, row + i), scale, vmax)), db,
                 codes + i);
    }
    if (i < end) {
      HWY_ALIGN float rest[kLanes] = {};
      HWY_ALIGN uint8_t rest_codes[kLanes];
      std::copy(row + i, row + end, rest);
      hn::Store(hn::TruncateTo(db, F::template code<kRule>(hn::Load(d, rest), scale, vmax)), db, rest_codes);
      std::copy(rest_codes, rest_codes + (end - i), codes + i);
    }
  }
}

template <class F>
HWY_INLINE void codes_by_rule(const float* row, size_t count, size_t block, float max, MiniRule rule,
                              const float* scales, uint8_t* codes) {
  switch (rule) {
    case MiniRule::kEven:
      return codes_of<F, MiniRule::kEven>(row, count, block, max, scales, codes);
    case MiniRule::kEvenBf16:
      return codes_of<F, MiniRule::kEvenBf16>(row, count, block, max, scales, codes);
    case MiniRule::kAway:
      return codes_of<F, MiniRule::kAway>(row, count, block, max, scales, codes);
  }
}

void codes_e4m3(const float* row, size_t count, size_t block, MiniRule rule, const float* scales,
                uint8_t* codes) {
  codes_by_rule<E4M3>(row, count, block, 448, rule, scales, codes);
}
void codes_e2m1(const float* row, size_t count, size_t block, MiniRule rule, const float* scales,
                uint8_t* codes) {
  codes_by_rule<E2M1>(row, count, block, 6, rule, scales, codes);
}

template <class F>
HWY_INLINE void errors_of(const float* HWY_RESTRICT row, size_t blocks, size_t block, float max,
                          const float* HWY_RESTRICT inverse, float* HWY_RESTRICT errors) {
  const Tag d;
  HWY_ALIGN float lanes[kLanes];
  const auto vmax = hn::Set(d, max);
  for (size_t b = 0; b < blocks; ++b, row += block) {
    const auto inv = hn::Set(d, inverse[b]);
    for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
      auto sum = hn::Zero(d);
      for (size_t i = first; i < block; i += kLanes) {
        const auto y = hn::Mul(hn::LoadU(d, row + i), inv);
        const auto e = hn::Sub(hn::Abs(y), F::even(y, vmax));
        sum = hn::Add(sum, hn::Mul(e, e));
      }
      hn::Store(sum, d, lanes + first);
    }
    errors[b] = fold(lanes);
  }
}

void errors_e4m3(const float* row, size_t blocks, size_t block, const float* inverse, float* errors) {
  errors_of<E4M3>(row, blocks, block, 448, inverse, errors);
}
void errors_e2m1(const float* row, size_t blocks, size_t block, const float* inverse, float* errors) {
  errors_of<E2M1>(row, blocks, block, 6, inverse, errors);
}

template <class F>
HWY_INLINE void errors_bf16_of(const float* HWY_RESTRICT row, size_t blocks, size_t block, float max,
                               const float* HWY_RESTRICT scales, float* HWY_RESTRICT errors) {
  const Tag d;
  HWY_ALIGN float lanes[kLanes];
  const auto vmax = hn::Set(d, max);
  for (size_t b = 0; b < blocks; ++b, row += block) {
    const auto scale = hn::Set(d, scales[b]);
    for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
      auto sum = hn::Zero(d);
      for (size_t i = first; i < block; i += kLanes) {
        const auto x = hn::LoadU(d, row + i);
        const auto value = hn::Mul(F::away(hn::Div(x, scale), vmax), scale);
        const auto e = to_bf16(hn::Sub(value, hn::Abs(x)));
        sum = hn::Add(sum, to_bf16(hn::Mul(e, e)));
      }
      hn::Store(sum, d, lanes + first);
    }
    errors[b] = fold(lanes);
  }
}

void errors_bf16_e4m3(const float* row, size_t blocks, size_t block, const float* scales, float* errors) {
  errors_bf16_of<E4M3>(row, blocks, block, 448, scales, errors);
}
void errors_bf16_e2m1(const float* row, size_t blocks, size_t block, const float* scales, float* errors) {
  errors_bf16_of<E2M1>(row, blocks, block, 6, scales, errors);
}

void pack(const uint8_t* HWY_RESTRICT codes, size_t packed_count, uint8_t* HWY_RESTRICT packed) {
  const hn::ScalableTag<uint16_t> d;
  const hn::Rebind<uint8_t, decltype(d)> db;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= packed_count; i += hn::Lanes(d)) {
    const auto pairs = hn::LoadU(d, reinterpret_cast<const uint16_t*>(codes + 2 * i));
    const auto low = hn::And(pairs, hn::Set(d, uint16_t{15}));
    const auto high = hn::And(hn::ShiftRight<4>(pairs), hn::Set(d, uint16_t{0xf0}));
    hn::StoreU(hn::TruncateTo(db, hn::Or(low, high)), db, packed + i);
  }
  for (; i < packed_count; ++i) {
    packed[i] = static_cast<uint8_t>((codes[2 * i] & 15) | codes[2 * i + 1] << 4);
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(absmax_blocks);
HWY_EXPORT(codes_e4m3);
HWY_EXPORT(codes_e2m1);
HWY_EXPORT(errors_e4m3);
HWY_EXPORT(errors_e2m1);
HWY_EXPORT(errors_bf16_e4m3);
HWY_EXPORT(errors_bf16_e2m1);
HWY_EXPORT(pack);

namespace {

void check_blocks(size_t count, size_t block, size_t per_block) {
  CHECK(block > 0 && block % 16 == 0 && count % block == 0 && per_block == count / block);
}

}  // namespace

void block_absmax(std::span<const float> row, size_t block, std::span<float> absmax) {
  check_blocks(row.size(), block, absmax.size());
  HWY_DYNAMIC_DISPATCH(absmax_blocks)(row.data(), absmax.size(), block, absmax.data());
}

void minifloat_codes(std::span<const float> row, size_t block, MiniFloat format, MiniRule rule,
                     std::span<const float> scales, std::span<uint8_t> codes) {
  CHECK(codes.size() == row.size());
  if (block != row.size()) check_blocks(row.size(), block, scales.size());
  if (format.mantissa_bits == kE4M3.mantissa_bits) {
    HWY_DYNAMIC_DISPATCH(codes_e4m3)(row.data(), row.size(), block, rule, scales.data(), codes.data());
  } else {
    HWY_DYNAMIC_DISPATCH(codes_e2m1)(row.data(), row.size(), block, rule, scales.data(), codes.data());
  }
}

void minifloat_errors(std::span<const float> row, size_t block, MiniFloat format,
                      std::span<const float> inverse, std::span<float> errors) {
  check_blocks(row.size(), block, errors.size());
  if (format.mantissa_bits == kE4M3.mantissa_bits) {
    HWY_DYNAMIC_DISPATCH(errors_e4m3)(row.data(), errors.size(), block, inverse.data(), errors.data());
  } else {
    HWY_DYNAMIC_DISPATCH(errors_e2m1)(row.data(), errors.size(), block, inverse.data(), errors.data());
  }
}

void minifloat_errors_bf16(std::span<const float> row, size_t block, MiniFloat format,
                           std::span<const float> scales, std::span<float> errors) {
  check_blocks(row.size(), block, errors.size());
  if (format.mantissa_bits == kE4M3.mantissa_bits) {
    HWY_DYNAMIC_DISPATCH(errors_bf16_e4m3)(row.data(), errors.size(), block, scales.data(), errors.data());
  } else {
    HWY_DYNAMIC_DISPATCH(errors_bf16_e2m1)(row.data(), errors.size(), block, scales.data(), errors.data());
  }
}

void pack_nibbles(std::span<const uint8_t> codes, std::span<uint8_t> packed) {
  CHECK(codes.size() == 2 * packed.size());
  HWY_DYNAMIC_DISPATCH(pack)(codes.data(), packed.size(), packed.data());
}

}  // namespace wanslim
#endif
