// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

template <class Function>
HWY_INLINE void apply(float* values, size_t count, bool round, const Function& function) {
  const hn::ScalableTag<float> d;
  const auto step = [&](float* p) HWY_ATTR {
    const auto y = function(d, hn::LoadU(d, p));
    hn::StoreU(round ? round_bf16_v(d, y) : y, d, p);
  };
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) step(values + i);
  if (i == count) return;
  std::array<float, 64> rest = {};  // a whole vector on every target
  std::copy(values + i, values + count, rest.begin());
  step(rest.data());
  std::copy(rest.begin(), rest.begin() + (count - i), values + i);
}

void activate(Activation activation, bool round, float* values, size_t count) {
  using V = hn::Vec<hn::ScalableTag<float>>;
  switch (activation) {
    case Activation::kNone:
      return apply(values, count, round, [](auto, V x) HWY_ATTR { return x; });
    case Activation::kGeluTanh:
      return apply(values, count, round, [](auto d, V x) HWY_ATTR { return gelu_tanh_v(d, x); });
    case Activation::kGeluErf:
      return apply(values, count, round, [](auto d, V x) HWY_ATTR { return gelu_erf_v(d, x); });
    case Activation::kSilu:
      return apply(values, count, round, [](auto d, V x) HWY_ATTR { return silu_v(d, x); });
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(activate);

void activate(Activation activation, bool round, std::span<float> values) {
  HWY_DYNAMIC_DISPATCH(activate)(activation, round, values.data(), values.size());
}

}  // namespace wanslim
#endif
