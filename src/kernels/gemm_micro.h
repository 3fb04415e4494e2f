// SPDX-License-Identifier: Apache-2.0
// Internal to kernels: the innermost loops of gemm and attention as a table of functions, one table per SIMD
// target.
//
// A strip holds `rows` rows of a, re-ordered so that the loop reads it front to back: 32-bit words
// [group][row][word], where a group is the g inputs that stand together in a weight panel (gemm.h).
#pragma once
#include <cstdint>

namespace wanslim {

struct MicroKernel {
  int64_t rows = 0;             // rows of a strip: a tile is rows x 32
  int64_t group = 1;            // inputs per group
  int64_t words_per_group = 1;  // 32-bit words of a strip per row and group
  bool biased = false;          // the strip holds codes + 128: tiles start from PackedWeight::start

  // Packs rows [0, count) and inputs [0, k) of `a` (`stride` elements between rows) into `strip`; missing
  // rows and the end of the last group become zeros.
  void (*pack)(const void* a, int64_t stride, int64_t count, int64_t k, uint32_t* strip) = nullptr;

  // tile[row * ldc + column] += strip * panel over `groups`; float, or int32 for s8. Null if there is only
  // the following way.
  using Run = void (*)(const uint32_t* strip, const void* panel, int64_t groups, void* tile, int64_t ldc);
  Run run = nullptr;

  // The faster way for many strips, if there is one: `expand` lays `groups` of a panel out part by part, each
  // of `columns` columns and as ready to multiply as can be, and run_part does one part. Same sums.
  void (*expand)(const void* panel, int64_t groups, void* expanded) = nullptr;
  Run run_part = nullptr;
  int64_t columns = 32;

  int64_t expanded_bytes(int64_t groups) const { return expand ? groups * words_per_group * 32 * 4 : 0; }
  int64_t part_bytes(int64_t groups) const { return expanded_bytes(groups) * columns / 32; }
  int64_t strip_words(int64_t k) const { return (k + group - 1) / group * words_per_group * rows; }
};

struct MicroKernels {
  MicroKernel f32;       // f32 a, f32 weight
  MicroKernel f32_bf16;  // f32 a, bf16 weight
  MicroKernel bf16;      // bf16 a, bf16 weight
  MicroKernel s8;        // s8 a, s8 weight
};

constexpr int64_t kMaxStripRows = 12;

// The best kernels of this machine among the targets that Highway has not disabled.
const MicroKernels& micro_kernels();

// Highway's for the current target, without the following.
const MicroKernels& portable_micro_kernels();

// Kernels with AVX512_BF16 and AVX512_VNNI in place of the portable ones; null where the machine or the build
// has none or Highway's AVX-512 is disabled.
const MicroKernels* avx512_micro_kernels();

// Turns words [row][word] into [word][row] for a strip of `rows` rows; rows from `count` on become zeros.
// `stride`: words between rows of src.
void transpose_words(const uint32_t* src, int64_t stride, int64_t count, int64_t rows, int64_t words,
                     uint32_t* strip);

}  // namespace wanslim
