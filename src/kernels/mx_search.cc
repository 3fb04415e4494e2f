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

constexpr size_t kChunk = 64;                      // blocks that go through one pass after the other
constexpr int kE4M3Log2Max = 8, kE2M1Log2Max = 2;  // floor(log2(max))

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

void search_e4m3(const float* HWY_RESTRICT row, size_t blocks, float factor, int smallest,
                 int* HWY_RESTRICT exponents) {
  for (size_t begin = 0; begin < blocks; begin += kChunk) {
    Chosen clipped;
    float inverse[kChunk];
    const size_t count = std::min(kChunk, blocks - begin);
    for (size_t k = 0; k < count; ++k) {
      const float largest = largest_of(row + (begin + k) * kMxBlock, kMxBlock) * factor;
      const int first = std::max(floor_log2(largest) - kE4M3Log2Max, smallest);
      exponents[begin + k] = first;
      inverse[k] = factor * power_of_two(-first);
      clipped.add_if(largest * power_of_two(-first) > kE4M3.max, k);
    }
    for (size_t c = 0; c < clipped.count; ++c) {
      const size_t k = clipped.blocks[c];
      const float* const block = row + (begin + k) * kMxBlock;
      const float best = error_of<E4M3>(block, kMxBlock, kE4M3.max, inverse[k]);
      const float above = error_of<E4M3>(block, kMxBlock, kE4M3.max, inverse[k] * 0.5f);
      exponents[begin + k] += above * 4 < best ? 1 : 0;
    }
  }
}

void absmax_of_blocks(const float* HWY_RESTRICT row, size_t blocks, float* HWY_RESTRICT absmax) {
  for (size_t b = 0; b < blocks; ++b) absmax[b] = largest_of(row + b * kMxBlock, kMxBlock);
}

void first_e2m1(const float* HWY_RESTRICT row, const float* HWY_RESTRICT absmax, size_t blocks, float factor,
                int smallest, int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  for (size_t b = 0; b < blocks; ++b) {
    exponents[b] = std::max(floor_log2(absmax[b] * factor) - kE2M1Log2Max, smallest);
    errors[b] = error_of<E2M1>(row + b * kMxBlock, kMxBlock, kE2M1.max, factor * power_of_two(-exponents[b]));
  }
}

void refine_chunk(const float* HWY_RESTRICT row, const float* HWY_RESTRICT absmax, size_t blocks,
                  float factor, int smallest, int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  // All under the first exponent, `best` in units of its square.
  int first[kChunk];
  float inverse[kChunk], top[kChunk], best[kChunk];
  Chosen clipped, finer;
  for (size_t b = 0; b < blocks; ++b) {
    first[b] = exponents[b];
    const float power = power_of_two(-first[b]);
    inverse[b] = factor * power;
    top[b] = absmax[b] * factor * power;
    best[b] = errors[b];
    clipped.add_if(top[b] > kE2M1.max, b);
  }
  for (size_t k = 0; k < clipped.count; ++k) {
    const size_t b = clipped.blocks[k];
    const float above = error_of<E2M1>(row + b * kMxBlock, kMxBlock, kE2M1.max, inverse[b] * 0.5f);
    const bool better = above * 4 < best[b];
    exponents[b] += better ? 1 : 0;
    best[b] = better ? above * 4 : best[b];
    errors[b] = better ? above : errors[b];
  }
  for (size_t b = 0; b < blocks; ++b) {
    const float over = 2 * top[b] - kE2M1.max;
    finer.add_if(first[b] > smallest && best[b] > over * over * 0.25f, b);
  }
  for (size_t k = 0; k < finer.count; ++k) {
    const size_t b = finer.blocks[k];
    const float below = error_of<E2M1>(row + b * kMxBlock, kMxBlock, kE2M1.max, inverse[b] * 2);
    if (below * 0.25f >= best[b]) continue;
    exponents[b] = first[b] - 1;
    errors[b] = below;
  }
}

void refine_e2m1(const float* HWY_RESTRICT row, const float* HWY_RESTRICT absmax, size_t blocks, float factor,
                 int smallest, int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  for (size_t b = 0; b < blocks; b += kChunk) {
    refine_chunk(row + b * kMxBlock, absmax + b, std::min(kChunk, blocks - b), factor, smallest,
                 exponents + b, errors + b);
  }
}

void search_e2m1(const float* HWY_RESTRICT row, size_t blocks, float factor, int smallest,
                 int* HWY_RESTRICT exponents, float* HWY_RESTRICT errors) {
  float absmax[kChunk];
  for (size_t b = 0; b < blocks; b += kChunk) {
    const float* const chunk = row + b * kMxBlock;
    const size_t count = std::min(kChunk, blocks - b);
    absmax_of_blocks(chunk, count, absmax);
    first_e2m1(chunk, absmax, count, factor, smallest, exponents + b, errors + b);
    refine_chunk(chunk, absmax, count, factor, smallest, exponents + b, errors + b);
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(search_e4m3);
HWY_EXPORT(search_e2m1);
HWY_EXPORT(first_e2m1);
HWY_EXPORT(refine_e2m1);

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

void mx_first(std::span<const float> row, std::span<const float> absmax, float factor, int smallest,
              std::span<int> exponents, std::span<float> errors) {
  const size_t blocks = absmax.size();
  CHECK(row.size() == blocks * kMxBlock && smallest >= -127);
  CHECK(exponents.size() == blocks && errors.size() == blocks);
  HWY_DYNAMIC_DISPATCH(first_e2m1)
  (row.data(), absmax.data(), blocks, factor, smallest, exponents.data(), errors.data());
}

void mx_refine(std::span<const float> row, std::span<const float> absmax, float factor, int smallest,
               std::span<int> exponents, std::span<float> errors) {
  const size_t blocks = absmax.size();
  CHECK(row.size() == blocks * kMxBlock && smallest >= -127);
  CHECK(exponents.size() == blocks && errors.size() == blocks);
  HWY_DYNAMIC_DISPATCH(refine_e2m1)
  (row.data(), absmax.data(), blocks, factor, smallest, exponents.data(), errors.data());
}

}  // namespace wanslim
#endif
