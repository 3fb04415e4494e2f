// SPDX-License-Identifier: Apache-2.0
#include "kernels/mx_search.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/mx_search.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/minifloat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

constexpr size_t kChunk = 64;  // blocks that go through one pass after the other

// The blocks that a pass looks at, listed without a branch that nobody could predict.
struct Chosen {
  uint8_t blocks[kChunk + 1];
  size_t count = 0;
  HWY_INLINE void add_if(bool wanted, size_t b) {
    blocks[count] = static_cast<uint8_t>(b);
    count += wanted ? 1 : 0;
  }
};

// A block is spared what cannot be better:
//   above  a grid that is twice as coarse gains only where absmax would be clipped
//   below  absmax is clipped, and the square of that is in the sum
template <class F, bool kErrors>
HWY_INLINE void search_chunk(const float* HWY_RESTRICT row, size_t blocks, float factor, float max, int emax,
                             int smallest, int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  // All under the first exponent, `best` in units of its square.
  int first[kChunk];
  float inverse[kChunk], top[kChunk], best[kChunk];
  Chosen clipped, finer;
  for (size_t b = 0; b < blocks; ++b) {
    const float* const block = row + b * kMxBlock;
    const float largest = largest_of(block, kMxBlock) * factor;
    exponents[b] = first[b] = std::max(floor_log2(largest) - emax, smallest);
    const float power = power_of_two(-first[b]);
    inverse[b] = factor * power;
    top[b] = largest * power;
    clipped.add_if(top[b] > max, b);
    if constexpr (kErrors) errors[b] = best[b] = error_of<F>(block, kMxBlock, max, inverse[b]);
  }
  for (size_t k = 0; k < clipped.count; ++k) {
    const size_t b = clipped.blocks[k];
    const float* const block = row + b * kMxBlock;
    if constexpr (!kErrors) best[b] = error_of<F>(block, kMxBlock, max, inverse[b]);
    const float above = error_of<F>(block, kMxBlock, max, inverse[b] * 0.5f);
    const bool better = above * 4 < best[b];
    exponents[b] += better ? 1 : 0;
    if constexpr (kErrors) {
      best[b] = better ? above * 4 : best[b];
      errors[b] = better ? above : errors[b];
    }
  }
  if constexpr (kErrors) {
    for (size_t b = 0; b < blocks; ++b) {
      const float over = 2 * top[b] - max;
      finer.add_if(first[b] > smallest && best[b] > over * over * 0.25f, b);
    }
    for (size_t k = 0; k < finer.count; ++k) {
      const size_t b = finer.blocks[k];
      const float below = error_of<F>(row + b * kMxBlock, kMxBlock, max, inverse[b] * 2);
      if (below * 0.25f >= best[b]) continue;
      exponents[b] = first[b] - 1;
      errors[b] = below;
    }
  }
}

template <class F, bool kErrors>
HWY_INLINE void search(const float* HWY_RESTRICT row, size_t blocks, float factor, float max, int emax,
                       int smallest, int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  for (size_t b = 0; b < blocks; b += kChunk) {
    search_chunk<F, kErrors>(row + b * kMxBlock, std::min(kChunk, blocks - b), factor, max, emax, smallest,
                             exponents + b, kErrors ? errors + b : nullptr);
  }
}

void search_e4m3(const float* row, size_t blocks, float factor, int smallest, int* exponents) {
  search<E4M3, false>(row, blocks, factor, 448, 8, smallest, exponents, nullptr);
}
void search_e2m1(const float* row, size_t blocks, float factor, int smallest, int* exponents, float* errors) {
  search<E2M1, true>(row, blocks, factor, 6, 2, smallest, exponents, errors);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(search_e4m3);
HWY_EXPORT(search_e2m1);

void mx_search(std::span<const float> row, float factor, MiniFloat format, int smallest,
               std::span<int> exponents, std::span<float> errors) {
  const size_t blocks = exponents.size();
  CHECK(row.size() == blocks * kMxBlock && smallest >= -127);
  if (format.mantissa_bits == kE4M3.mantissa_bits) {
    CHECK(errors.empty());
    HWY_DYNAMIC_DISPATCH(search_e4m3)(row.data(), blocks, factor, smallest, exponents.data());
  } else {
    CHECK(errors.size() == blocks);
    HWY_DYNAMIC_DISPATCH(search_e2m1)
    (row.data(), blocks, factor, smallest, exponents.data(), errors.data());
  }
}

}  // namespace wanslim
#endif
