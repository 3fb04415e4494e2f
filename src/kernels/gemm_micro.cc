// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm_micro.h"

#include <algorithm>
#include <cstring>

#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_micro.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;

// 512-bit targets have 32 registers: 24 sums, 2 panel vectors, 1 broadcast. The others have 16.
constexpr int kRows = HWY_MAX_BYTES >= 64 ? 12 : 6;
constexpr int kPanelWidth = 32;

#if HWY_TARGET == HWY_SCALAR
constexpr int kLanes = 1;
#else
constexpr int kLanes = HWY_MIN(HWY_MAX_BYTES, 64) / 4;
#endif

// Sums for kRows x 2 vectors of columns, from and to the tile.
struct Sums {
  hn::Vec<F32> v[kRows][2];
};

HWY_INLINE void load_sums(const float* HWY_RESTRICT tile, int64_t ldc, Sums& sums) {
  const F32 d;
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    sums.v[i][0] = hn::LoadU(d, tile + i * ldc);
    sums.v[i][1] = hn::LoadU(d, tile + i * ldc + kLanes);
  }
}

HWY_INLINE void store_sums(const Sums& sums, float* HWY_RESTRICT tile, int64_t ldc) {
  const F32 d;
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    hn::StoreU(sums.v[i][0], d, tile + i * ldc);
    hn::StoreU(sums.v[i][1], d, tile + i * ldc + kLanes);
  }
}

HWY_INLINE void add_products(const float* HWY_RESTRICT a, hn::Vec<F32> b0, hn::Vec<F32> b1, Sums& sums) {
  const F32 d;
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    const auto broadcast = hn::Set(d, a[i]);
    sums.v[i][0] = hn::MulAdd(broadcast, b0, sums.v[i][0]);
    sums.v[i][1] = hn::MulAdd(broadcast, b1, sums.v[i][1]);
  }
}

void run_f32(const uint32_t* strip, const void* panel, int64_t groups, void* tile, int64_t ldc) {
  const F32 d;
  for (int column = 0; column < kPanelWidth; column += 2 * kLanes) {
    const float* HWY_RESTRICT a = reinterpret_cast<const float*>(strip);
    const float* HWY_RESTRICT b = static_cast<const float*>(panel) + column;
    float* c = static_cast<float*>(tile) + column;
    Sums sums;
    load_sums(c, ldc, sums);
    for (int64_t k = 0; k < groups; ++k, a += kRows, b += kPanelWidth) {
      add_products(a, hn::LoadU(d, b), hn::LoadU(d, b + kLanes), sums);
    }
    store_sums(sums, c, ldc);
  }
}

void run_f32_bf16(const uint32_t* strip, const void* panel, int64_t groups, void* tile, int64_t ldc) {
  const F32 d;
  const U32 du;
  const auto high_half = hn::Set(du, 0xffff0000u);
  for (int column = 0; column < kPanelWidth; column += 2 * kLanes) {
    const float* HWY_RESTRICT a = reinterpret_cast<const float*>(strip);
    const uint32_t* HWY_RESTRICT b = static_cast<const uint32_t*>(panel) + column;
    float* c = static_cast<float*>(tile) + column;
    Sums sums;
    load_sums(c, ldc, sums);
    for (int64_t k = 0; k < groups; ++k, a += 2 * kRows, b += kPanelWidth) {
      const auto pair0 = hn::LoadU(du, b), pair1 = hn::LoadU(du, b + kLanes);
      add_products(a, hn::BitCast(d, hn::ShiftLeft<16>(pair0)), hn::BitCast(d, hn::ShiftLeft<16>(pair1)),
                   sums);
      add_products(a + kRows, hn::BitCast(d, hn::And(pair0, high_half)),
                   hn::BitCast(d, hn::And(pair1, high_half)), sums);
    }
    store_sums(sums, c, ldc);
  }
}

// Calls body(from, to) for the two vectors of columns of each part and row of a panel, `step` words a part
// and row. Row by row: a panel comes from memory, and is read once and in order that way.
template <class Body>
HWY_INLINE void over_parts(const void* panel, int64_t groups, int64_t step, void* expanded,
                           const Body& body) {
  const uint32_t* HWY_RESTRICT from = static_cast<const uint32_t*>(panel);
  uint32_t* HWY_RESTRICT to = static_cast<uint32_t*>(expanded);
  for (int64_t k = 0; k < groups; ++k, to += step) {
    uint32_t* HWY_RESTRICT part = to;
    for (int column = 0; column < kPanelWidth;
         column += 2 * kLanes, part += groups * step, from += 2 * kLanes)
      body(from, part);
  }
}

// Floats of a panel: [2 vectors of columns][input][vector].
void expand_f32(const void* panel, int64_t groups, void* expanded) {
  const U32 d;
  over_parts(panel, groups, 2 * kLanes, expanded, [&](const uint32_t* from, uint32_t* to) HWY_ATTR {
    hn::StoreU(hn::LoadU(d, from), d, to);
    hn::StoreU(hn::LoadU(d, from + kLanes), d, to + kLanes);
  });
}

void expand_bf16(const void* panel, int64_t groups, void* expanded) {
  const U32 d;
  const auto high_half = hn::Set(d, 0xffff0000u);
  over_parts(panel, groups, 4 * kLanes, expanded, [&](const uint32_t* from, uint32_t* to) HWY_ATTR {
    const auto pair0 = hn::LoadU(d, from), pair1 = hn::LoadU(d, from + kLanes);
    hn::StoreU(hn::ShiftLeft<16>(pair0), d, to);
    hn::StoreU(hn::ShiftLeft<16>(pair1), d, to + kLanes);
    hn::StoreU(hn::And(pair0, high_half), d, to + 2 * kLanes);
    hn::StoreU(hn::And(pair1, high_half), d, to + 3 * kLanes);
  });
}

template <int kGroup>
void run_part_f32(const uint32_t* strip, const void* part, int64_t groups, void* tile, int64_t ldc) {
  const F32 d;
  const float* HWY_RESTRICT a = reinterpret_cast<const float*>(strip);
  const float* HWY_RESTRICT b = static_cast<const float*>(part);
  float* c = static_cast<float*>(tile);
  Sums sums;
  load_sums(c, ldc, sums);
  for (int64_t k = 0; k < kGroup * groups; ++k, a += kRows, b += 2 * kLanes) {
    add_products(a, hn::LoadU(d, b), hn::LoadU(d, b + kLanes), sums);
  }
  store_sums(sums, c, ldc);
}

// sum + products of the two int16 in each 32-bit lane.
HWY_INLINE hn::Vec<I32> add_pair_products(hn::Vec<I32> sum, hn::Vec<I32> a, hn::Vec<I32> b) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::Repartition<int16_t, I32> d16;
  auto unused = hn::Zero(I32());
  return hn::ReorderWidenMulAccumulate(I32(), hn::BitCast(d16, a), hn::BitCast(d16, b), sum,
                                       unused);  // pmaddwd
#else
  const auto low = [](hn::Vec<I32> v) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
  const auto even = hn::Mul(low(a), low(b));
  return hn::Add(sum, hn::Add(even, hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b))));
#endif
}

// Bytes 0 and 2 of each lane as a pair of int16; with kOdd bytes 1 and 3.
template <bool kOdd>
HWY_INLINE hn::Vec<I32> byte_pair(hn::Vec<I32> bytes) {
#if HWY_TARGET == HWY_SCALAR
  const I32 d;
  const auto low = hn::ShiftRight<24>(kOdd ? hn::ShiftLeft<16>(bytes) : hn::ShiftLeft<24>(bytes));
  const auto high = hn::ShiftRight<24>(kOdd ? bytes : hn::ShiftLeft<8>(bytes));
  return hn::Or(hn::And(low, hn::Set(d, 0xffff)), hn::ShiftLeft<16>(high));
#else
  const hn::Repartition<int16_t, I32> d16;
  const auto halves = hn::BitCast(d16, bytes);
  return hn::BitCast(I32(), hn::ShiftRight<8>(kOdd ? halves : hn::ShiftLeft<8>(halves)));
#endif
}

// Codes of a panel as pairs of int16, ready to multiply:
//   [2 vectors of columns][group][inputs 0 and 2, inputs 1 and 3][vector].
void expand_s8(const void* panel, int64_t groups, void* expanded) {
  const I32 d;
  over_parts(panel, groups, 4 * kLanes, expanded, [&](const uint32_t* from, uint32_t* out) HWY_ATTR {
    int32_t* const to = reinterpret_cast<int32_t*>(out);
    const auto codes0 = hn::BitCast(d, hn::LoadU(U32(), from));
    const auto codes1 = hn::BitCast(d, hn::LoadU(U32(), from + kLanes));
    hn::StoreU(byte_pair<false>(codes0), d, to);
    hn::StoreU(byte_pair<false>(codes1), d, to + kLanes);
    hn::StoreU(byte_pair<true>(codes0), d, to + 2 * kLanes);
    hn::StoreU(byte_pair<true>(codes1), d, to + 3 * kLanes);
  });
}

HWY_INLINE void add_pairs(const int32_t* HWY_RESTRICT a, const int32_t* HWY_RESTRICT b,
                          hn::Vec<I32> sums[kRows][2]) {
  const I32 d;
  const auto pairs0 = hn::LoadU(d, b), pairs1 = hn::LoadU(d, b + kLanes);
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    const auto broadcast = hn::Set(d, a[i]);
    sums[i][0] = add_pair_products(sums[i][0], broadcast, pairs0);
    sums[i][1] = add_pair_products(sums[i][1], broadcast, pairs1);
  }
}

void run_part_s8(const uint32_t* strip, const void* part, int64_t groups, void* tile, int64_t ldc) {
  const I32 d;
  const int32_t* HWY_RESTRICT a = reinterpret_cast<const int32_t*>(strip);
  const int32_t* HWY_RESTRICT b = static_cast<const int32_t*>(part);
  int32_t* c = static_cast<int32_t*>(tile);
  hn::Vec<I32> sums[kRows][2];
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    sums[i][0] = hn::LoadU(d, c + i * ldc);
    sums[i][1] = hn::LoadU(d, c + i * ldc + kLanes);
  }
  // Half a group at a time: of two products in one round g++ would add these first, and run out of registers.
  for (int64_t k = 0; k < 2 * groups; ++k, a += kRows, b += 2 * kLanes) add_pairs(a, b, sums);
  HWY_UNROLL(12)
  for (int i = 0; i < kRows; ++i) {
    hn::StoreU(sums[i][0], d, c + i * ldc);
    hn::StoreU(sums[i][1], d, c + i * ldc + kLanes);
  }
}

// What a strip gets of its source: words as they are, or bf16 as float.
HWY_INLINE uint32_t word_of(uint32_t word) {
  return word;
}
HWY_INLINE uint32_t word_of(uint16_t half) {
  return static_cast<uint32_t>(half) << 16;
}

#if HWY_TARGET != HWY_SCALAR
using Four = hn::Full128<uint32_t>;
HWY_INLINE hn::Vec<Four> four_words(const uint32_t* from) {
  return hn::LoadU(Four(), from);
}
HWY_INLINE hn::Vec<Four> four_words(const uint16_t* from) {
  return hn::ShiftLeft<16>(hn::PromoteTo(Four(), hn::LoadU(hn::Rebind<uint16_t, Four>(), from)));
}

// Four words of each of four rows to four words of the strip, whose words are `rows` apart.
template <class T>
HWY_INLINE void transpose_four(const T* HWY_RESTRICT src, int64_t stride, int64_t rows,
                               uint32_t* HWY_RESTRICT to) {
  const Four d;
  const hn::Full128<uint64_t> d64;
  const auto r0 = four_words(src), r1 = four_words(src + stride);
  const auto r2 = four_words(src + 2 * stride), r3 = four_words(src + 3 * stride);
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, to + rows);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, to + 2 * rows);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, to + 3 * rows);
}

// The same of two rows, which strips of six leave.
template <class T>
HWY_INLINE void transpose_two(const T* HWY_RESTRICT src, int64_t stride, int64_t rows,
                              uint32_t* HWY_RESTRICT to) {
  const Four d;
  const hn::Half<Four> half;
  const auto r0 = four_words(src), r1 = four_words(src + stride);
  const auto low = hn::InterleaveLower(d, r0, r1), high = hn::InterleaveUpper(d, r0, r1);
  hn::StoreU(hn::LowerHalf(half, low), half, to);
  hn::StoreU(hn::UpperHalf(half, low), half, to + rows);
  hn::StoreU(hn::LowerHalf(half, high), half, to + 2 * rows);
  hn::StoreU(hn::UpperHalf(half, high), half, to + 3 * rows);
}
#endif

template <class T>
HWY_INLINE void transpose(const T* HWY_RESTRICT src, int64_t stride, int64_t count, int64_t rows,
                          int64_t words, uint32_t* HWY_RESTRICT strip) {
  int64_t row = 0;
#if HWY_TARGET != HWY_SCALAR
  while (row + 2 <= count) {
    const int64_t step = row + 4 <= count ? 4 : 2;
    const T* HWY_RESTRICT s = src + row * stride;
    uint32_t* HWY_RESTRICT out = strip + row;
    int64_t w = 0;
    for (; w + 4 <= words; w += 4) {
      if (step == 4) {
        transpose_four(s + w, stride, rows, out + w * rows);
      } else {
        transpose_two(s + w, stride, rows, out + w * rows);
      }
    }
    for (; w < words; ++w) {
      for (int64_t i = 0; i < step; ++i) out[w * rows + i] = word_of(s[i * stride + w]);
    }
    row += step;
  }
#endif
  for (; row < count; ++row) {
    for (int64_t w = 0; w < words; ++w) strip[w * rows + row] = word_of(src[row * stride + w]);
  }
  for (; row < rows; ++row) {
    for (int64_t w = 0; w < words; ++w) strip[w * rows + row] = 0;
  }
}

void transpose_words(const uint32_t* HWY_RESTRICT src, int64_t stride, int64_t count, int64_t rows,
                     int64_t words, uint32_t* HWY_RESTRICT strip) {
  transpose(src, stride, count, rows, words, strip);
}

// Inputs are taken in pieces of this size, so that those of a strip stay in the first cache.
constexpr int64_t kPiece = 256;

// A word for each input, and zeros up to a whole group.
template <int kGroup, class T>
HWY_INLINE void pack_words(const T* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  for (int64_t begin = 0; begin < k; begin += kPiece) {
    transpose(a + begin, stride, count, kRows, std::min(kPiece, k - begin), strip + begin * kRows);
  }
  for (; k % kGroup != 0; ++k) std::fill_n(strip + k * kRows, kRows, 0u);
}

template <int kGroup>
void pack_f32(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  pack_words<kGroup>(static_cast<const uint32_t*>(a), stride, count, k, strip);
}

void pack_bf16(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  pack_words<2>(static_cast<const uint16_t*>(a), stride, count, k, strip);
}

// Per 4 codes two words of int16: (0, 2) and (1, 3), as expand_s8 takes the panel apart.
void pack_s8(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  const I32 d;
  const int8_t* const codes = static_cast<const int8_t*>(a);
  alignas(64) uint32_t rows[kRows * kPiece / 2];
  for (int64_t begin = 0; begin < k; begin += kPiece) {
    const int64_t inputs = std::min(kPiece, k - begin), groups = (inputs + 3) / 4;
    for (int64_t i = 0; i < count; ++i) {
      alignas(64) int32_t words[kPiece / 4] = {};
      std::memcpy(words, codes + i * stride + begin, static_cast<size_t>(inputs));
      int32_t* const to = reinterpret_cast<int32_t*>(rows + i * kPiece / 2);
      for (int64_t g = 0; g < groups; g += kLanes) {
        const auto four = hn::LoadU(d, words + g);
        hn::StoreInterleaved2(byte_pair<false>(four), byte_pair<true>(four), d, to + 2 * g);
      }
    }
    transpose(rows, kPiece / 2, count, kRows, 2 * groups, strip + begin / 2 * kRows);
  }
}

const MicroKernels* table() {
  static const MicroKernels kernels = {
      .f32 = {kRows, 1, 1, false, &pack_f32<1>, &run_f32, &expand_f32, &run_part_f32<1>, 2 * kLanes},
      .f32_bf16 = {kRows, 2, 2, false, &pack_f32<2>, &run_f32_bf16, &expand_bf16, &run_part_f32<2>,
                   2 * kLanes},
      .bf16 = {kRows, 2, 2, false, &pack_bf16, &run_f32_bf16, &expand_bf16, &run_part_f32<2>, 2 * kLanes},
      .s8 = {kRows, 4, 2, false, &pack_s8, nullptr, &expand_s8, &run_part_s8, 2 * kLanes},
  };
  return &kernels;
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(table);
HWY_EXPORT(transpose_words);

const MicroKernels& portable_micro_kernels() {
  return *HWY_DYNAMIC_DISPATCH(table)();
}

const MicroKernels& micro_kernels() {
  const MicroKernels* fast = avx512_micro_kernels();
  return fast ? *fast : portable_micro_kernels();
}

void transpose_words(const uint32_t* src, int64_t stride, int64_t count, int64_t rows, int64_t words,
                     uint32_t* strip) {
  HWY_DYNAMIC_DISPATCH(transpose_words)(src, stride, count, rows, words, strip);
}

}  // namespace wanslim
#endif
