// SPDX-License-Identifier: Apache-2.0
#include "kernels/minifloat.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/minifloat.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/minifloat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

// As integers magnitudes have the same order, and NaN is above all.
void absmax_blocks(const float* HWY_RESTRICT row, size_t blocks, size_t block, float* HWY_RESTRICT absmax) {
  const Tag d;
  const BitTag du;
  const size_t lanes = hn::Lanes(d);
  const auto magnitude = hn::Set(du, 0x7fffffffu);
  for (size_t b = 0; b < blocks; ++b, row += block) {
    auto largest = hn::Zero(du);
    for (size_t i = 0; i < block; i += lanes)
      largest = hn::Max(largest, hn::And(hn::BitCast(du, hn::LoadU(d, row + i)), magnitude));
    absmax[b] = std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(du, largest)));
  }
}

#if HWY_TARGET == HWY_SCALAR
template <class F, MiniRule kRule>
HWY_INLINE size_t codes_by_four(const float*, size_t i, size_t, Floats, Floats, uint8_t*) {
  return i;
}
#else
// Byte k of lane j of `all` to byte j of part k, the parts one after another.
HWY_INLINE hn::Vec<hn::Repartition<uint8_t, Tag> > bytes_in_order(Bits all) {
  const BitTag du;
  const hn::Repartition<uint8_t, Tag> db;
  alignas(16) static constexpr uint8_t kTransposed[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                          2, 6, 10, 14, 3, 7, 11, 15};
  const auto groups = hn::TableLookupBytes(hn::BitCast(db, all), hn::LoadDup128(db, kTransposed));
  if constexpr (hn::MaxLanes(Tag()) == 4) {
    return groups;
  } else {
    alignas(64) static constexpr int32_t kEight[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    alignas(64) static constexpr int32_t kSixteen[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                         2, 6, 10, 14, 3, 7, 11, 15};
    const auto order = hn::SetTableIndices(du, hn::MaxLanes(Tag()) == 8 ? kEight : kSixteen);
    return hn::BitCast(db, hn::TableLookupLanes(hn::BitCast(du, groups), order));
  }
}

// Four vectors at once, which share a store and the steps that bring 32 bits to 8. Returns where it ends.
template <class F, MiniRule kRule>
HWY_INLINE size_t codes_by_four(const float* HWY_RESTRICT row, size_t i, size_t end, Floats scale, Floats max,
                                uint8_t* HWY_RESTRICT codes) {
  const Tag d;
  const hn::Repartition<uint8_t, Tag> db;
  const size_t lanes = hn::Lanes(d);
  for (; i + 4 * lanes <= end; i += 4 * lanes) {
    auto all = F::template code<kRule>(hn::LoadU(d, row + i + 3 * lanes), scale, max);
    for (size_t k = 3; k-- > 0;) {
      all = hn::Or(hn::ShiftLeft<8>(all),
                   F::template code<kRule>(hn::LoadU(d, row + i + k * lanes), scale, max));
    }
    hn::StoreU(bytes_in_order(all), db, codes + i);
  }
  return i;
}
#endif

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
    size_t i = codes_by_four<F, kRule>(row, start, end, scale, vmax, codes);
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
    case MiniRule::kEvenInverse:
      return codes_of<F, MiniRule::kEvenInverse>(row, count, block, max, scales, codes);
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
  for (size_t b = 0; b < blocks; ++b, row += block) errors[b] = error_of<F>(row, block, max, inverse[b]);
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
  const auto vmax = hn::Set(d, max);
  for (size_t b = 0; b < blocks; ++b, row += block) {
    const auto scale = hn::Set(d, scales[b]);
    Floats sums[kVectors];
    for (Floats& sum : sums) sum = hn::Zero(d);
    for (size_t i = 0; i < block; i += kLanes) {
      for (size_t k = 0; k < kVectors; ++k) {
        const auto x = hn::LoadU(d, row + i + k * hn::MaxLanes(d));
        const auto value = hn::Mul(F::away(hn::Div(x, scale), vmax), scale);
        const auto e = to_bf16(hn::Sub(value, hn::Abs(x)));
        sums[k] = hn::Add(sums[k], to_bf16(hn::Mul(e, e)));
      }
    }
    errors[b] = fold(sums);
  }
}

void errors_bf16_e4m3(const float* row, size_t blocks, size_t block, const float* scales, float* errors) {
  errors_bf16_of<E4M3>(row, blocks, block, 448, scales, errors);
}
void errors_bf16_e2m1(const float* row, size_t blocks, size_t block, const float* scales, float* errors) {
  errors_bf16_of<E2M1>(row, blocks, block, 6, scales, errors);
}

#if HWY_TARGET == HWY_SCALAR
void e2m1_nibbles(const float* row, size_t count, size_t block, const float* inverse, uint8_t* packed) {
  const Tag d;
  const auto code = [&](size_t i) {
    const auto scale = hn::Set(d, inverse[i / block]), max = hn::Set(d, kE2M1.max);
    const uint32_t bits = hn::GetLane(E2M1::code<MiniRule::kEvenInverse>(hn::LoadU(d, row + i), scale, max));
    return bits == 8 ? 0 : bits;
  };
  for (size_t i = 0; i < count; i += 2) packed[i / 2] = static_cast<uint8_t>(code(i) | code(i + 1) << 4);
}
#else
// Vectors of at most 8 floats: four of them make the bytes that one table lookup puts in order.
using NibbleTag = hn::CappedTag<float, 8>;
using NibbleBits = hn::Vec<hn::RebindToUnsigned<NibbleTag> >;
constexpr size_t kNibbleLanes = hn::MaxLanes(NibbleTag());

// y rounded to E2M1's values, in halves, plus 128. The binades of y have steps of 1/2 up to 2, then of 1
// and 2.
HWY_INLINE NibbleBits rounded_byte(const float* HWY_RESTRICT values, float inverse) {
  const NibbleTag d;
  const hn::RebindToUnsigned<NibbleTag> du;
  const auto scaled = hn::Mul(hn::LoadU(d, values), hn::Set(d, inverse));
  const auto y = hn::Max(hn::Min(scaled, hn::Set(d, kE2M1.max)), hn::Set(d, -kE2M1.max));
  const auto power = hn::Max(hn::And(hn::BitCast(du, y), hn::Set(du, 0x7f800000u)), hn::Set(du, 127u << 23));
  const auto big = hn::BitCast(d, hn::Add(power, hn::Set(du, (22u << 23) | 0x400000u)));
  // The low bits of a float from 2^22 on count halves.
  const auto rounded = hn::Sub(hn::Add(y, big), hn::Sub(big, hn::Set(d, 0x1p22f + 64)));
  return hn::And(hn::BitCast(du, rounded), hn::Set(du, 0xffu));
}

// Nibbles of 4 x kNibbleLanes values under the inverse scales of their vectors.
HWY_INLINE void nibbles_of(const float* HWY_RESTRICT values, const float (&inverse)[4],
                           uint8_t* HWY_RESTRICT packed) {
  const hn::RebindToUnsigned<NibbleTag> du;
  const hn::Repartition<uint8_t, NibbleTag> db;
  const hn::Repartition<uint64_t, NibbleTag> dq;
  // Byte k of lane j is value j of vector k.
  auto all = hn::Zero(du);
  for (int k = 3; k >= 0; --k) {
    all = hn::Or(hn::ShiftLeft<8>(all),
                 rounded_byte(values + static_cast<size_t>(k) * kNibbleLanes, inverse[k]));
  }
  const hn::RebindToSigned<decltype(db)> dbi;
  const auto value = hn::BitCast(dbi, hn::Sub(hn::BitCast(db, all), hn::Set(db, 128)));
  alignas(16) static constexpr uint8_t kCodes[16] = {0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7};
  const auto code = hn::TableLookupBytes(hn::LoadDup128(db, kCodes), hn::BitCast(db, hn::Abs(value)));
  const auto sign =
      hn::BitCast(db, hn::ShiftRight<4>(hn::And(hn::BitCast(du, value), hn::Set(du, 0x80808080u))));
  const auto codes = hn::BitCast(dq, hn::Or(code, sign));
  // Neighbours share a byte: those of the upper half of a pair of lanes come down beside those of the lower.
  const auto pairs = hn::Or(codes, hn::ShiftRight<28>(codes));
  // Byte k of lane j goes to byte j of vector k's: in halves of two lanes, which interleave.
  alignas(16) static constexpr uint8_t kOrder[16] = {0, 8, 1, 9, 2, 10, 3, 11};
  const auto ordered = hn::TableLookupBytes(hn::BitCast(db, pairs), hn::LoadDup128(db, kOrder));
  if constexpr (kNibbleLanes == 4) {
    hn::StoreU(hn::LowerHalf(ordered), hn::Half<decltype(db)>(), packed);
  } else {
    const hn::Half<decltype(db)> half;
    const hn::Repartition<uint16_t, decltype(half)> dw;
    const auto both = hn::InterleaveLower(dw, hn::BitCast(dw, hn::LowerHalf(half, ordered)),
                                          hn::BitCast(dw, hn::UpperHalf(half, ordered)));
    hn::StoreU(hn::BitCast(half, both), half, packed);
  }
}

template <size_t kBlock>
HWY_INLINE void nibbles_in_blocks(const float* HWY_RESTRICT row, size_t count,
                                  const float* HWY_RESTRICT inverse, uint8_t* HWY_RESTRICT packed) {
  constexpr size_t kStep = 4 * kNibbleLanes;
  const auto scales_at = [inverse](size_t i, float(&out)[4]) {
    for (size_t k = 0; k < 4; ++k)
      out[k] = inverse[i / kBlock + (kStep > kBlock ? k * kNibbleLanes / kBlock : 0)];
  };
  float scales[4];
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    scales_at(i, scales);
    nibbles_of(row + i, scales, packed + i / 2);
  }
  if (i == count) return;
  // Half a step is left: a block of 16.
  HWY_ALIGN float rest[kStep] = {};
  HWY_ALIGN uint8_t rest_packed[kStep / 2];
  std::copy(row + i, row + count, rest);
  const float last = inverse[i / kBlock];
  nibbles_of(rest, {last, last, last, last}, rest_packed);
  std::copy_n(rest_packed, (count - i) / 2, packed + i / 2);
}

void e2m1_nibbles(const float* row, size_t count, size_t block, const float* inverse, uint8_t* packed) {
  if (block == 16) return nibbles_in_blocks<16>(row, count, inverse, packed);
  nibbles_in_blocks<32>(row, count, inverse, packed);
}
#endif

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
HWY_EXPORT(e2m1_nibbles);
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

void minifloat_nibbles(std::span<const float> row, size_t block, std::span<const float> inverse,
                       std::span<uint8_t> packed) {
  CHECK((block == 16 || block == 32) && packed.size() == row.size() / 2);
  check_blocks(row.size(), block, inverse.size());
  HWY_DYNAMIC_DISPATCH(e2m1_nibbles)(row.data(), row.size(), block, inverse.data(), packed.data());
}

void pack_nibbles(std::span<const uint8_t> codes, std::span<uint8_t> packed) {
  CHECK(codes.size() == 2 * packed.size());
  HWY_DYNAMIC_DISPATCH(pack)(codes.data(), packed.size(), packed.data());
}

}  // namespace wanslim
#endif
