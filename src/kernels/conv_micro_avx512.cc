// SPDX-License-Identifier: Apache-2.0
// AVX512_BF16, which Highway 1.0 does not know. x86 only; conv_micro_no_avx512.cc elsewhere.
#include <immintrin.h>

#include <cstring>

#include "hwy/targets.h"
#include "kernels/conv_micro.h"

namespace wanslim {
namespace {

constexpr int64_t kLanes = 16;

template <int kVectors>
[[gnu::target("avx512f,avx512bf16")]] void run_rows(const void* const* rows, int64_t taps, int64_t depth,
                                                    const uint32_t* panel, float* c, int64_t ldc) {
  __m512 sums[kMicroRows][kVectors];
#pragma GCC unroll 8
  for (int row = 0; row < kMicroRows; ++row) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sums[row][v] = _mm512_setzero_ps();
  }
  for (int64_t tap = 0; tap < taps; ++tap, rows += kMicroRows) {
    const std::byte* a[kMicroRows];
#pragma GCC unroll 8
    for (int row = 0; row < kMicroRows; ++row) a[row] = static_cast<const std::byte*>(rows[row]);
    for (int64_t i = 0; i < depth / 2; ++i, panel += kVectors * kLanes) {
      __m512bh b[kVectors];
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v)
        b[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(panel + v * kLanes));
#pragma GCC unroll 8
      for (int row = 0; row < kMicroRows; ++row) {
        int32_t bits;
        std::memcpy(&bits, a[row] + i * 4, 4);
        const __m512bh pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) sums[row][v] = _mm512_dpbf16_ps(sums[row][v], pair, b[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kMicroRows; ++row) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(c + row * ldc + v * kLanes, sums[row][v]);
  }
}

void run(const void* const* rows, int64_t taps, int64_t depth, const void* panel, int64_t vectors, float* c,
         int64_t ldc) {
  const uint32_t* const weights = static_cast<const uint32_t*>(panel);
  if (vectors == 3) {
    run_rows<3>(rows, taps, depth, weights, c, ldc);
  } else if (vectors == 2) {
    run_rows<2>(rows, taps, depth, weights, c, ldc);
  } else {
    run_rows<1>(rows, taps, depth, weights, c, ldc);
  }
}

}  // namespace

const ConvMicro* conv_micro_bf16() {
  static const bool kHas = __builtin_cpu_supports("avx512bf16") != 0;
  static const ConvMicro kMicro{kLanes, 2, &run};
  return kHas && (hwy::SupportedTargets() & HWY_AVX3) != 0 ? &kMicro : nullptr;
}

}  // namespace wanslim
