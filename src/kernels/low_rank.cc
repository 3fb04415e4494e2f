// SPDX-License-Identifier: Apache-2.0
#include "kernels/low_rank.h"

#include <algorithm>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/low_rank.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

struct LowRank {
  float* weight = nullptr;
  const float *up = nullptr, *down = nullptr;
  size_t in = 0, rank = 0;
  float scale = 1;
};

// One vector of columns of kRows rows. Mul and Add, not MulAdd: a fused product would round differently.
template <size_t kRows, class D>
HWY_INLINE void tile(D d, const LowRank& job, size_t row, size_t column) {
  hn::Vec<D> sums[kRows];
  for (size_t r = 0; r < kRows; ++r) sums[r] = hn::Zero(d);
  for (size_t k = 0; k < job.rank; ++k) {
    const auto down = hn::LoadU(d, job.down + k * job.in + column);
    for (size_t r = 0; r < kRows; ++r)
      sums[r] = hn::Add(sums[r], hn::Mul(hn::Set(d, job.up[(row + r) * job.rank + k]), down));
  }
  for (size_t r = 0; r < kRows; ++r) {
    float* out = job.weight + (row + r) * job.in + column;
    hn::StoreU(hn::Add(hn::LoadU(d, out), hn::Mul(hn::Set(d, job.scale), sums[r])), d, out);
  }
}

template <size_t kRows>
HWY_INLINE void columns(const LowRank& job, size_t row, size_t begin, size_t end) {
  const hn::ScalableTag<float> d;
  size_t column = begin;
  for (; column + hn::Lanes(d) <= end; column += hn::Lanes(d)) tile<kRows>(d, job, row, column);
  for (; column < end; ++column) tile<kRows>(hn::CappedTag<float, 1>(), job, row, column);
}

void add_rows(const LowRank& job, size_t row_begin, size_t row_end) {
  constexpr size_t kColumns = 512, kRows = 8;  // a strip of `down` that stays in the cache
  for (size_t begin = 0; begin < job.in; begin += kColumns) {
    const size_t end = std::min(job.in, begin + kColumns);
    size_t row = row_begin;
    for (; row + kRows <= row_end; row += kRows) columns<kRows>(job, row, begin, end);
    for (; row < row_end; ++row) columns<1>(job, row, begin, end);
  }
}

void add_low_rank(float* weight, size_t in, const float* up, const float* down, size_t rank, float scale,
                  size_t row_begin, size_t row_end) {
  add_rows({.weight = weight, .up = up, .down = down, .in = in, .rank = rank, .scale = scale}, row_begin,
           row_end);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(add_low_rank);

void add_low_rank(float* weight, int64_t out, int64_t in, const float* up, const float* down, int64_t rank,
                  float scale) {
  parallel_for(out, 64, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_low_rank)
    (weight, static_cast<size_t>(in), up, down, static_cast<size_t>(rank), scale, static_cast<size_t>(begin),
     static_cast<size_t>(end));
  });
}

}  // namespace wanslim
#endif
