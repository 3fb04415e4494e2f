// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm_epilogue.h"

#include <algorithm>

#include "tensor/half.h"

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

// One row of 32 sums to 32 results.
HWY_INLINE void finish_row(const Epilogue& e, const PanelColumns& columns, const void* sums, bool whole,
                           float row_scale, float* HWY_RESTRICT y) {
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
    hn::StoreU(v, d, y + i);
  }
}

HWY_INLINE void write_row(const Epilogue& e, const PanelColumns& columns, const float* HWY_RESTRICT y,
                          int64_t count, int64_t at) {
  const F32 d;
  const size_t lanes = hn::Lanes(d);
  if (e.bf16 != nullptr) {
    const hn::RebindToUnsigned<F32> du;
    const hn::Rebind<uint16_t, F32> dh;
    size_t i = 0;
    for (; i + lanes <= static_cast<size_t>(count); i += lanes) {
      const auto bits = hn::BitCast(du, round_bf16_v(d, hn::LoadU(d, y + i)));
      hn::StoreU(hn::TruncateTo(dh, hn::ShiftRight<16>(bits)), dh, e.bf16 + at + i);
    }
    for (; i < static_cast<size_t>(count); ++i) e.bf16[at + i] = float_to_bf16(y[i]);
    return;
  }
  float* HWY_RESTRICT out = e.f32 + at;
  if (!e.add) {
    std::copy(y, y + count, out);
  } else if (e.gate == nullptr) {
    for (int64_t i = 0; i < count; ++i) out[i] += y[i];
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] += y[i] * columns.gate[i];
  }
}

void run_epilogue(const Epilogue& e, const void* tile, bool whole, const TilePlace& place) {
  const int64_t count = std::min(kPanel, place.n - place.column);
  const int64_t stride = e.stride != 0 ? e.stride : place.n;
  PanelColumns columns;
  copy_columns(e.bias, place.column, count, 0.0f, columns.bias);
  copy_columns(e.column_scale, place.column, count, 1.0f, columns.scale);
  copy_columns(e.gate, place.column, count, 1.0f, columns.gate);
  copy_columns(e.column_offset, place.column, count, 0, columns.offset);
  alignas(128) float y[kPanel];
  for (int64_t r = 0; r < place.rows; ++r) {
    const float row_scale = e.row_scale != nullptr ? e.row_scale[place.row + r] : 1.0f;
    finish_row(e, columns, static_cast<const float*>(tile) + r * kPanel, whole, row_scale, y);
    write_row(e, columns, y, count, (place.row + r) * stride + place.column);
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(run_epilogue);

void run_epilogue(const Epilogue& epilogue, const void* tile, bool whole, const TilePlace& place) {
  HWY_DYNAMIC_DISPATCH(run_epilogue)(epilogue, tile, whole, place);
}

}  // namespace wanslim
#endif
