// SPDX-License-Identifier: Apache-2.0
#include "kernels/skinny_product.h"

#include <algorithm>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/skinny_product.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<double, kSkinnyLanes>;
constexpr size_t kVectors = kSkinnyLanes / hn::MaxLanes(D());

// kRows rows by one group over `count` columns; sums of the columns before stand in `out`. Mul and Add, not
// MulAdd: a fused product would round differently.
template <size_t kRows>
HWY_INLINE void tile(const float* matrix, size_t columns, const double* z, size_t count, double* out,
                     size_t step) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> sums[kRows][kVectors];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::LoadU(d, out + r * step + v * lanes);
  }
  for (size_t c = 0; c < count; ++c) {
    for (size_t v = 0; v < kVectors; ++v) {
      const auto x = hn::LoadU(d, z + c * kSkinnyLanes + v * lanes);
      for (size_t r = 0; r < kRows; ++r) {
        const auto w = hn::Set(d, static_cast<double>(matrix[r * columns + c]));
        sums[r][v] = hn::Add(sums[r][v], hn::Mul(w, x));
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, out + r * step + v * lanes);
  }
}

void skinny_rows(const float* matrix, size_t rows, size_t columns, const double* vectors, size_t groups,
                 double* out) {
  constexpr size_t kColumns = 512, kRows = 4;  // a strip of the vectors that stays in the cache
  const size_t step = groups * kSkinnyLanes;
  std::fill_n(out, rows * step, 0.0);
  for (size_t c = 0; c < columns; c += kColumns) {
    const size_t count = std::min(kColumns, columns - c);
    for (size_t g = 0; g < groups; ++g) {
      const double* const z = vectors + (g * columns + c) * kSkinnyLanes;
      size_t r = 0;
      for (; r + kRows <= rows; r += kRows)
        tile<kRows>(matrix + r * columns + c, columns, z, count, out + r * step + g * kSkinnyLanes, step);
      for (; r < rows; ++r)
        tile<1>(matrix + r * columns + c, columns, z, count, out + r * step + g * kSkinnyLanes, step);
    }
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(skinny_rows);

void skinny_product(const float* matrix, int64_t rows, int64_t columns, const double* vectors, int64_t groups,
                    double* out) {
  const size_t width = static_cast<size_t>(columns), step = static_cast<size_t>(groups) * kSkinnyLanes;
  parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
    constexpr int64_t kRows = 64;  // of the matrix, in the cache for all groups
    for (int64_t r = begin; r < end; r += kRows) {
      HWY_DYNAMIC_DISPATCH(skinny_rows)
      (matrix + static_cast<size_t>(r) * width, static_cast<size_t>(std::min(kRows, end - r)), width, vectors,
       static_cast<size_t>(groups), out + static_cast<size_t>(r) * step);
    }
  });
}

}  // namespace wanslim
#endif
