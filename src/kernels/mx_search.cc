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

constexpr size_t kChunk = 64;  // blocks that are looked at before those of them that need it are searched

// The blocks that a pass looks at, listed without a branch that nobody could predict.
struct Chosen {
  uint8_t blocks[kChunk + 1];
  size_t count = 0;
  HWY_INLINE void add_if(bool wanted, size_t b) {
    blocks[count] = static_cast<uint8_t>(b);
    count += wanted ? 1 : 0;
  }
};

template <class F>
void search(const float* HWY_RESTRICT row, const float* HWY_RESTRICT absmax, size_t blocks, float factor,
            int smallest, MxRule rule, int* HWY_RESTRICT exponents) {
  for (size_t begin = 0; begin < blocks; begin += kChunk) {
    Chosen unsure;
    float inverse[kChunk];
    const size_t count = std::min(kChunk, blocks - begin);
    for (size_t k = 0; k < count; ++k) {
      const float largest = absmax[begin + k] * factor;
      const int first = std::max(floor_log2(largest) - rule.log2_max, smallest);
      const float power = power_of_two(-first);
      exponents[begin + k] = first;
      inverse[k] = factor * power;
      unsure.add_if(largest * power > rule.unsure, k);
    }
    for (size_t c = 0; c < unsure.count; ++c) {
      const size_t k = unsure.blocks[c];
      const float* const block = row + (begin + k) * kMxBlock;
      const float best = error_of<F>(block, kMxBlock, rule.max, inverse[k]);
      const float above = error_within<F>(block, kMxBlock, inverse[k] * 0.5f);
      exponents[begin + k] += above * 4 < best ? 1 : 0;
    }
  }
}

void search_e4m3(const float* row, const float* absmax, size_t blocks, float factor, int smallest,
                 int* exponents) {
  search<E4M3>(row, absmax, blocks, factor, smallest, kMxE4M3, exponents);
}
void search_e2m1(const float* row, const float* absmax, size_t blocks, float factor, int smallest,
                 int* exponents) {
  search<E2M1>(row, absmax, blocks, factor, smallest, kMxE2M1, exponents);
}

// In units of y, where a block's exponent is the least binade of a value: no scaling, and one fold for all.
float probe(const float* HWY_RESTRICT row, const float* HWY_RESTRICT absmax, size_t blocks, float factor,
            int smallest) {
  static_assert(kMxProbe == kLanes);
  const Tag d;
  const BitTag du;
  const auto scale = hn::Set(d, factor);
  Floats sums[kVectors];
  for (Floats& sum : sums) sum = hn::Zero(d);
  for (size_t b = 0; b < blocks; ++b, row += kMxBlock) {
    // What is below 7 steps rounds to 6 at the most.
    const int exponent = std::max(floor_log2(absmax[b] * factor * (8.0f / 7)) - kMxE2M1.log2_max, smallest);
    const auto least = hn::Set(du, static_cast<uint32_t>(exponent + 127) << 23);
    for (size_t k = 0; k < kVectors; ++k) {
      const auto y = hn::Mul(hn::LoadU(d, row + k * hn::MaxLanes(d)), scale);
      const auto e = hn::Sub(y, nearest_even_from<1>(y, least));
      sums[k] = hn::Add(sums[k], hn::Mul(e, e));
    }
  }
  return fold(sums);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(search_e4m3);
HWY_EXPORT(search_e2m1);
HWY_EXPORT(probe);

void mx_search(std::span<const float> row, std::span<const float> absmax, float factor, MiniFloat format,
               int smallest, std::span<int> exponents) {
  const size_t blocks = exponents.size();
  CHECK(row.size() == blocks * kMxBlock && absmax.size() == blocks && smallest >= -127);
  if (format.mantissa_bits == kE4M3.mantissa_bits) {
    HWY_DYNAMIC_DISPATCH(search_e4m3)(row.data(), absmax.data(), blocks, factor, smallest, exponents.data());
  } else {
    HWY_DYNAMIC_DISPATCH(search_e2m1)(row.data(), absmax.data(), blocks, factor, smallest, exponents.data());
  }
}

float mx_probe(std::span<const float> row, std::span<const float> absmax, float factor, int smallest) {
  CHECK(row.size() == absmax.size() * kMxBlock && smallest >= -127);
  return HWY_DYNAMIC_DISPATCH(probe)(row.data(), absmax.data(), absmax.size(), factor, smallest);
}

}  // namespace wanslim
#endif
