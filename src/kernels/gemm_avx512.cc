// SPDX-License-Identifier: Apache-2.0
// AVX512_BF16 and AVX512_VNNI, which Highway 1.0 does not know. x86 only; gemm_no_avx512.cc elsewhere.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "hwy/targets.h"
#include "kernels/gemm_micro.h"

namespace wanslim {
namespace {

constexpr int kRows = 12;
constexpr int64_t kPanelWords = 32;
constexpr int64_t kPieceWords = 256;

// Converts rows to words piece by piece with convert(row, piece begin, words) and transposes them.
template <class Convert>
void pack_pieces(int64_t count, int64_t words, uint32_t* strip, const Convert& convert) {
  alignas(64) uint32_t rows[kRows * kPieceWords];
  for (int64_t begin = 0; begin < words; begin += kPieceWords) {
    const int64_t piece = std::min(kPieceWords, words - begin);
    for (int64_t i = 0; i < count; ++i) convert(i, begin, piece, rows + i * kPieceWords);
    transpose_words(rows, kPieceWords, count, kRows, piece, strip + begin * kRows);
  }
}

void pack_bf16(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  const uint16_t* source = static_cast<const uint16_t*>(a);
  pack_pieces(count, (k + 1) / 2, strip, [&](int64_t i, int64_t begin, int64_t piece, uint32_t* words) {
    const int64_t inputs = std::min(2 * piece, k - 2 * begin);
    words[piece - 1] = 0;
    std::memcpy(words, source + i * stride + 2 * begin, static_cast<size_t>(inputs) * 2);
  });
}

// Codes + 128 as unsigned bytes: VNNI multiplies unsigned by signed.
void pack_s8(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) {
  const int8_t* source = static_cast<const int8_t*>(a);
  pack_pieces(count, (k + 3) / 4, strip, [&](int64_t i, int64_t begin, int64_t piece, uint32_t* words) {
    const int64_t inputs = std::min(4 * piece, k - 4 * begin);
    words[piece - 1] = 0;
    std::memcpy(words, source + i * stride + 4 * begin, static_cast<size_t>(inputs));
    for (int64_t w = 0; w < piece; ++w) words[w] ^= 0x80808080u;
  });
}

[[gnu::target("avx512f,avx512bf16")]] void run_bf16(const uint32_t* strip, const void* panel, int64_t groups,
                                                    void* tile, int64_t ldc) {
  float* c = static_cast<float*>(tile);
  const uint32_t* b = static_cast<const uint32_t*>(panel);
  __m512 sums[kRows][2];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
    sums[i][0] = _mm512_loadu_ps(c + i * ldc);
    sums[i][1] = _mm512_loadu_ps(c + i * ldc + 16);
  }
  for (int64_t k = 0; k < groups; ++k, strip += kRows, b += kPanelWords) {
    const __m512bh b0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b));
    const __m512bh b1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + 16));
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const __m512bh a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(strip[i])));
      sums[i][0] = _mm512_dpbf16_ps(sums[i][0], a, b0);
      sums[i][1] = _mm512_dpbf16_ps(sums[i][1], a, b1);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
    _mm512_storeu_ps(c + i * ldc, sums[i][0]);
    _mm512_storeu_ps(c + i * ldc + 16, sums[i][1]);
  }
}

[[gnu::target("avx512f,avx512vnni")]] void run_s8(const uint32_t* strip, const void* panel, int64_t groups,
                                                  void* tile, int64_t ldc) {
  int32_t* c = static_cast<int32_t*>(tile);
  const uint32_t* b = static_cast<const uint32_t*>(panel);
  __m512i sums[kRows][2];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
    sums[i][0] = _mm512_loadu_si512(c + i * ldc);
    sums[i][1] = _mm512_loadu_si512(c + i * ldc + 16);
  }
  for (int64_t k = 0; k < groups; ++k, strip += kRows, b += kPanelWords) {
    const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 16);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const __m512i a = _mm512_set1_epi32(static_cast<int>(strip[i]));
      sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], a, b0);
      sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], a, b1);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
    _mm512_storeu_si512(c + i * ldc, sums[i][0]);
    _mm512_storeu_si512(c + i * ldc + 16, sums[i][1]);
  }
}

bool supported() {
  static const bool kHas = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  return kHas && (hwy::SupportedTargets() & HWY_AVX3) != 0;
}

}  // namespace

const MicroKernels* avx512_micro_kernels() {
  if (!supported()) return nullptr;
  static const MicroKernels kernels = [] {
    MicroKernels table = portable_micro_kernels();
    table.bf16 = {kRows, 2, 1, false, &pack_bf16, &run_bf16};
    table.s8 = {kRows, 4, 1, true, &pack_s8, &run_s8};
    return table;
  }();
  return &kernels;
}

}  // namespace wanslim
