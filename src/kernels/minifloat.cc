// SPDX-License-Identifier: Apache-2.0
#include "kernels/minifloat.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/minifloat.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/minifloat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

void absmax_blocks(const float* HWY_RESTRICT row, size_t blocks, size_t block, float* HWY_RESTRICT absmax) {
  for (size_t b = 0; b < blocks; ++b, row += block) absmax[b] = largest_of(row, block);
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
