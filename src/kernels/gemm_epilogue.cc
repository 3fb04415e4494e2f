// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm_epilogue.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_epilogue.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

using F32 = hn::CappedTag<float, kPanel>;
using V = hn::Vec<F32>;

// What belongs to the columns of one panel, padded to its width.
struct PanelColumns {
  alignas(128) float bias[kPanel], scale[kPanel], gate[kPanel];
  alignas(128) int32_t offset[kPanel];
};

template <class T>
void copy_columns(const T* source, int64_t column, int64_t count, T fallback, T* to) {
  std::fill(to, to + kPanel, fallback);
  if (source != nullptr) std::copy(source + column, source + column + count, to);
}

HWY_INLINE V activated(Activation activation, V x) {
  const F32 d;
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return gelu_tanh_v(d, x);
    case Activation::kGeluErf:
      return gelu_erf_v(d, x);
    case Activation::kSilu:
      return silu_v(d, x);
  }
  return x;
}

// One row of 32 sums to 32 results, which go to use(first column, vector).
template <class Use>
HWY_INLINE void finish_row(const Epilogue& e, const PanelColumns& columns, const void* sums, bool whole,
                           float row_scale, const Use& use) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const V row = hn::Set(d, row_scale);
  for (size_t i = 0; i < static_cast<size_t>(kPanel); i += hn::Lanes(d)) {
    V v;
    if (whole) {
      const auto sum =
          hn::Add(hn::LoadU(di, static_cast<const int32_t*>(sums) + i), hn::Load(di, columns.offset + i));
      v = hn::ConvertTo(d, sum);
    } else {
      v = hn::LoadU(d, static_cast<const float*>(sums) + i);
    }
    if (e.column_scale != nullptr) v = hn::Mul(v, hn::Mul(row, hn::Load(d, columns.scale + i)));
    v = hn::Add(v, hn::Load(d, columns.bias + i));
    if (e.round) v = round_bf16_v(d, v);
    if (e.activation != Activation::kNone) {
      v = activated(e.activation, v);
      if (e.round) v = round_bf16_v(d, v);
    }
    use(i, v);
  }
}

HWY_INLINE void bf16_row(const Epilogue& e, const PanelColumns& columns, const void* sums, bool whole,
                         float row_scale, int64_t count, uint16_t* HWY_RESTRICT out) {
  const F32 d;
  const hn::RebindToUnsigned<F32> du;
  const hn::Rebind<uint16_t, F32> dh;
  alignas(64) uint16_t part[kPanel];
  uint16_t* const to = count == kPanel ? out : part;
  finish_row(e, columns, sums, whole, row_scale, [&](size_t i, V v) HWY_ATTR {
    const auto bits = hn::BitCast(du, e.round ? v : round_bf16_v(d, v));
    hn::StoreU(hn::TruncateTo(dh, hn::ShiftRight<16>(bits)), dh, to + i);
  });
  if (to == part) std::copy(part, part + count, out);
}

HWY_INLINE void f32_row(const Epilogue& e, const PanelColumns& columns, const void* sums, bool whole,
                        float row_scale, int64_t count, float* HWY_RESTRICT out) {
  const F32 d;
  alignas(128) float y[kPanel];
  finish_row(e, columns, sums, whole, row_scale, [&](size_t i, V v) HWY_ATTR { hn::StoreU(v, d, y + i); });
  if (!e.add) {
    std::copy(y, y + count, out);
  } else if (e.gate == nullptr) {
    for (int64_t i = 0; i < count; ++i) out[i] += y[i];
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] += y[i] * columns.gate[i];
  }
}

void run_epilogue(const Epilogue& e, const void* sums, bool whole, const PanelPlace& place) {
  const int64_t count = std::min(kPanel, place.n - place.column);
  const int64_t stride = e.stride != 0 ? e.stride : place.n;
  PanelColumns columns;
  copy_columns(e.bias, place.column, count, 0.0f, columns.bias);
  copy_columns(e.column_scale, place.column, count, 1.0f, columns.scale);
  copy_columns(e.gate, place.column, count, 1.0f, columns.gate);
  copy_columns(e.column_offset, place.column, count, 0, columns.offset);
  for (int64_t r = 0; r < place.rows; ++r) {
    const float row_scale = e.row_scale != nullptr ? e.row_scale[place.row + r] : 1.0f;
    const float* const row = static_cast<const float*>(sums) + r * kPanel;
    const int64_t at = (place.row + r) * stride + place.column;
    if (e.bf16 != nullptr) {
      bf16_row(e, columns, row, whole, row_scale, count, e.bf16 + at);
    } else {
      f32_row(e, columns, row, whole, row_scale, count, e.f32 + at);
    }
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(run_epilogue);

void run_epilogue(const Epilogue& epilogue, const void* sums, bool whole, const PanelPlace& place) {
  HWY_DYNAMIC_DISPATCH(run_epilogue)(epilogue, sums, whole, place);
}

}  // namespace wanslim
#endif
