// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

using One = hn::CappedTag<float, 1>;

// Calls step(tag, i) for whole vectors, then element by element.
template <class Step>
HWY_INLINE void over(size_t width, const Step& step) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= width; i += hn::Lanes(d)) step(d, i);
  for (; i < width; ++i) step(One(), i);
}

void softmax_row(float* HWY_RESTRICT x, size_t width, const float* HWY_RESTRICT bias, bool round) {
  const hn::ScalableTag<float> d;
  if (bias != nullptr) {
    over(width, [&](auto tag, size_t i) HWY_ATTR {
      const auto sum = hn::Add(hn::LoadU(tag, x + i), hn::LoadU(tag, bias + i));
      hn::StoreU(round ? round_bf16_v(tag, sum) : sum, tag, x + i);
    });
  }
  float highest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < width; ++i) highest = x[i] > highest || x[i] != x[i] ? x[i] : highest;
  over(width, [&](auto tag, size_t i) HWY_ATTR {
    const auto e = exp_v(tag, hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, highest)));
    hn::StoreU(e, tag, x + i);
  });
  auto partial = hn::Zero(d);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= width; i += hn::Lanes(d)) partial = hn::Add(partial, hn::LoadU(d, x + i));
  float total = hn::GetLane(hn::SumOfLanes(d, partial));
  for (; i < width; ++i) total += x[i];
  over(width, [&](auto tag, size_t j) HWY_ATTR {
    const auto y = hn::Div(hn::LoadU(tag, x + j), hn::Set(tag, total));
    hn::StoreU(round ? round_bf16_v(tag, y) : y, tag, x + j);
  });
}

void softmax_rows(float* x, size_t rows, size_t width, const float* bias, ptrdiff_t bias_step, bool round) {
  for (size_t row = 0; row < rows; ++row) {
    const float* own = bias == nullptr ? nullptr : bias + static_cast<ptrdiff_t>(row) * bias_step;
    softmax_row(x + row * width, width, own, round);
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(softmax_rows);

void softmax_rows(float* x, int64_t rows, int64_t width, const float* bias, int64_t bias_step, bool round) {
  HWY_DYNAMIC_DISPATCH(softmax_rows)
  (x, static_cast<size_t>(rows), static_cast<size_t>(width), bias, static_cast<ptrdiff_t>(bias_step), round);
}

}  // namespace wanslim
#endif
