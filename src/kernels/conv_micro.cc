// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_micro.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv_micro.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;

// Rows whose sums fit the registers beside a panel's vectors: 24 + 3 + 1 of 32, or 12 + 3 + 1 of 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int kRowsAtOnce = 8;
#else
constexpr int kRowsAtOnce = 4;
#endif

template <int kVectors>
HWY_INLINE void run_rows(const void* const* rows, int64_t taps, int64_t depth,
                         const float* HWY_RESTRICT panel, float* HWY_RESTRICT c, int64_t ldc) {
  const Tag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<Tag>;
  // Sums as plain variables: Highway's vectors may not sit in arrays on every target.
  V s00 = hn::Zero(d), s01 = s00, s02 = s00, s10 = s00, s11 = s00, s12 = s00, s20 = s00, s21 = s00, s22 = s00,
    s30 = s00, s31 = s00, s32 = s00, s40 = s00, s41 = s00, s42 = s00, s50 = s00, s51 = s00, s52 = s00,
    s60 = s00, s61 = s00, s62 = s00, s70 = s00, s71 = s00, s72 = s00;
  for (int64_t tap = 0; tap < taps; ++tap, rows += kMicroRows) {
    const float* const a0 = static_cast<const float*>(rows[0]);
    const float* const a1 = static_cast<const float*>(rows[1]);
    const float* const a2 = static_cast<const float*>(rows[2]);
    const float* const a3 = static_cast<const float*>(rows[3]);
    const float* const a4 = kRowsAtOnce > 4 ? static_cast<const float*>(rows[4]) : a0;
    const float* const a5 = kRowsAtOnce > 4 ? static_cast<const float*>(rows[5]) : a0;
    const float* const a6 = kRowsAtOnce > 4 ? static_cast<const float*>(rows[6]) : a0;
    const float* const a7 = kRowsAtOnce > 4 ? static_cast<const float*>(rows[7]) : a0;
    for (int64_t i = 0; i < depth; ++i, panel += kVectors * lanes) {
      const V b0 = hn::Load(d, panel);
      const V b1 = kVectors > 1 ? hn::Load(d, panel + lanes) : b0;
      const V b2 = kVectors > 2 ? hn::Load(d, panel + 2 * lanes) : b0;
      const auto add = [&](float value, V& x0, V& x1, V& x2) HWY_ATTR {
        const V a = hn::Set(d, value);
        x0 = hn::MulAdd(a, b0, x0);
        if (kVectors > 1) x1 = hn::MulAdd(a, b1, x1);
        if (kVectors > 2) x2 = hn::MulAdd(a, b2, x2);
      };
      add(a0[i], s00, s01, s02);
      add(a1[i], s10, s11, s12);
      add(a2[i], s20, s21, s22);
      add(a3[i], s30, s31, s32);
      if (kRowsAtOnce > 4) {
        add(a4[i], s40, s41, s42);
        add(a5[i], s50, s51, s52);
        add(a6[i], s60, s61, s62);
        add(a7[i], s70, s71, s72);
      }
    }
  }
  const auto store = [&](int64_t row, V x0, V x1, V x2) HWY_ATTR {
    hn::StoreU(x0, d, c + row * ldc);
    if (kVectors > 1) hn::StoreU(x1, d, c + row * ldc + lanes);
    if (kVectors > 2) hn::StoreU(x2, d, c + row * ldc + 2 * lanes);
  };
  store(0, s00, s01, s02);
  store(1, s10, s11, s12);
  store(2, s20, s21, s22);
  store(3, s30, s31, s32);
  if (kRowsAtOnce > 4) {
    store(4, s40, s41, s42);
    store(5, s50, s51, s52);
    store(6, s60, s61, s62);
    store(7, s70, s71, s72);
  }
}

void run(const void* const* rows, int64_t taps, int64_t depth, const void* panel, int64_t vectors, float* c,
         int64_t ldc) {
  const float* const weights = static_cast<const float*>(panel);
  for (int64_t row = 0; row < kMicroRows; row += kRowsAtOnce) {
    if (vectors == 3) {
      run_rows<3>(rows + row, taps, depth, weights, c + row * ldc, ldc);
    } else if (vectors == 2) {
      run_rows<2>(rows + row, taps, depth, weights, c + row * ldc, ldc);
    } else {
      run_rows<1>(rows + row, taps, depth, weights, c + row * ldc, ldc);
    }
  }
}

const ConvMicro* micro() {
  static const ConvMicro kMicro{static_cast<int64_t>(hn::Lanes(Tag())), 1, &run};
  return &kMicro;
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(micro);

const ConvMicro& conv_micro_f32() {
  return *HWY_DYNAMIC_DISPATCH(micro)();
}

MicroWeights::MicroWeights(const ConvMicro& micro, int64_t taps, int64_t depth, int64_t out)
    : micro_(&micro), taps_(taps), depth_(depth), out_(out) {
  CHECK(depth % micro.group == 0);
  data_ = Buffer(static_cast<size_t>(taps * depth * padded_out()) * micro.element_bytes());
  std::memset(data_.data(), 0, data_.size());
}

int64_t MicroWeights::vectors(int64_t panel) const {
  return std::min(kMicroVectors, padded_out() / micro_->lanes - panel * kMicroVectors);
}

const std::byte* MicroWeights::data(int64_t panel, int64_t tap) const {
  const int64_t elements =
      panel * panel_columns() * taps_ * depth_ + tap * depth_ * vectors(panel) * micro_->lanes;
  return data_.data() + static_cast<size_t>(elements) * micro_->element_bytes();
}

void MicroWeights::set(int64_t output, int64_t tap, std::span<const float> channels) {
  const int64_t panel = output / panel_columns(), column = output % panel_columns();
  const int64_t width = vectors(panel) * micro_->lanes, group = micro_->group;
  std::byte* const base = const_cast<std::byte*>(data(panel, tap));
  for (int64_t i = 0; i < depth_; ++i) {
    const int64_t at = (i / group * width + column) * group + i % group;
    const float value = channels[static_cast<size_t>(i)];
    if (group == 1) {
      reinterpret_cast<float*>(base)[at] = value;
    } else {
      reinterpret_cast<uint16_t*>(base)[at] = float_to_bf16(value);
    }
  }
}

}  // namespace wanslim
#endif
