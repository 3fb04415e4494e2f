// SPDX-License-Identifier: Apache-2.0
#include "kernels/winograd.h"

#include <cstring>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using V = hn::Vec<Tag>;

HWY_INLINE V load(const float* p) {
  return hn::LoadU(Tag(), p);
}
HWY_INLINE V load(const uint16_t* p) {
  const hn::Rebind<uint16_t, Tag> d16;
  const hn::RebindToUnsigned<Tag> du;
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, p))));
}
HWY_INLINE void store(V v, float* p) {
  hn::StoreU(v, Tag(), p);
}
// Nearest bf16; NaN may become infinity, which the layer above finds as well.
HWY_INLINE void store(V v, uint16_t* p) {
  const hn::Rebind<uint16_t, Tag> d16;
  const hn::RebindToUnsigned<Tag> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(rounded)), d16, p);
}

// Four values of a row or column of a patch to four points: B^T of the paper.
struct Four {
  V a, b, c, d;
};
HWY_INLINE Four input_points(V x0, V x1, V x2, V x3) {
  return {hn::Sub(x0, x2), hn::Add(x1, x2), hn::Sub(x2, x1), hn::Sub(x1, x3)};
}

template <class T>
void transform_tile(const T* const* patch, int64_t channels, T* planes, int64_t plane) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(Tag()));
  for (int64_t i = 0; i < channels; i += lanes) {
    const auto row = [&](int64_t y) HWY_ATTR {
      return input_points(load(patch[4 * y] + i), load(patch[4 * y + 1] + i), load(patch[4 * y + 2] + i),
                          load(patch[4 * y + 3] + i));
    };
    const Four r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
    T* const out = planes + i;
    const auto column = [&](int64_t x, const Four& v) HWY_ATTR {
      store(v.a, out + x * plane);
      store(v.b, out + (4 + x) * plane);
      store(v.c, out + (8 + x) * plane);
      store(v.d, out + (12 + x) * plane);
    };
    column(0, input_points(r0.a, r1.a, r2.a, r3.a));
    column(1, input_points(r0.b, r1.b, r2.b, r3.b));
    column(2, input_points(r0.c, r1.c, r2.c, r3.c));
    column(3, input_points(r0.d, r1.d, r2.d, r3.d));
  }
}

template <class T>
void transform_input(const WinogradTiles& tiles, int64_t channels, const T* picture, T* planes) {
  alignas(64) static constexpr T kZeros[4096] = {};
  CHECK(channels <= 4096);
  for (int64_t t = 0; t < tiles.count; ++t) {
    const int64_t top = (tiles.begin + t) / tiles.across() * 2 - 1;
    const int64_t left = (tiles.begin + t) % tiles.across() * 2 - 1;
    const T* patch[16];
    for (int64_t k = 0; k < 16; ++k) {
      const int64_t y = top + k / 4, x = left + k % 4;
      const bool inside = y >= 0 && y < tiles.height && x >= 0 && x < tiles.width;
      patch[k] = inside ? picture + (y * tiles.width + x) * channels : kZeros;
    }
    transform_tile(patch, channels, planes + t * channels, tiles.rows * channels);
  }
}

void input_f32(const WinogradTiles& tiles, int64_t channels, const void* picture, void* planes) {
  transform_input(tiles, channels, static_cast<const float*>(picture), static_cast<float*>(planes));
}
void input_bf16(const WinogradTiles& tiles, int64_t channels, const void* picture, void* planes) {
  transform_input(tiles, channels, static_cast<const uint16_t*>(picture), static_cast<uint16_t*>(planes));
}

// A^T of the paper.
struct Two {
  V a, b;
};
HWY_INLINE Two output_values(V x0, V x1, V x2, V x3) {
  return {hn::Add(hn::Add(x0, x1), x2), hn::Sub(hn::Sub(x1, x2), x3)};
}

void output(const WinogradTiles& tiles, int64_t channels, const float* sums, int64_t stride,
            const float* bias, const float* add, float* out) {
  const Tag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), plane = tiles.rows * stride;
  for (int64_t t = 0; t < tiles.count; ++t) {
    const int64_t y = (tiles.begin + t) / tiles.across() * 2, x = (tiles.begin + t) % tiles.across() * 2;
    const bool below = y + 1 < tiles.height, right = x + 1 < tiles.width;
    const int64_t at = (y * tiles.width + x) * channels, row = tiles.width * channels;
    for (int64_t i = 0; i < channels; i += lanes) {
      const float* const from = sums + t * stride + i;
      const auto points = [&](int64_t r) HWY_ATTR {
        const float* const p = from + 4 * r * plane;
        return output_values(load(p), load(p + plane), load(p + 2 * plane), load(p + 3 * plane));
      };
      const Two r0 = points(0), r1 = points(1), r2 = points(2), r3 = points(3);
      const Two left_values = output_values(r0.a, r1.a, r2.a, r3.a);
      const Two right_values = output_values(r0.b, r1.b, r2.b, r3.b);
      const V offset = bias != nullptr ? load(bias + i) : hn::Zero(d);
      const auto put = [&](V v, int64_t to) HWY_ATTR {
        v = hn::Add(v, offset);
        if (add != nullptr) v = hn::Add(v, load(add + to + i));
        hn::StoreU(v, d, out + to + i);
      };
      put(left_values.a, at);
      if (right) put(right_values.a, at + channels);
      if (below) put(left_values.b, at + row);
      if (below && right) put(right_values.b, at + row + channels);
    }
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(input_f32);
HWY_EXPORT(input_bf16);
HWY_EXPORT(output);

void winograd_weight(const float* weight, float* points) {
  // G g G^T in double: the points are rounded once.
  double half[4][3];
  for (int x = 0; x < 3; ++x) {
    const double a = weight[x], b = weight[3 + x], c = weight[6 + x];
    half[0][x] = a;
    half[1][x] = (a + b + c) / 2;
    half[2][x] = (a - b + c) / 2;
    half[3][x] = c;
  }
  for (int y = 0; y < 4; ++y) {
    const double a = half[y][0], b = half[y][1], c = half[y][2];
    points[4 * y] = static_cast<float>(a);
    points[4 * y + 1] = static_cast<float>((a + b + c) / 2);
    points[4 * y + 2] = static_cast<float>((a - b + c) / 2);
    points[4 * y + 3] = static_cast<float>(c);
  }
}

void winograd_input(const WinogradTiles& tiles, DType dtype, int64_t channels, const void* picture,
                    void* planes) {
  CHECK(channels % 16 == 0);
  if (dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(input_bf16)(tiles, channels, picture, planes);
  } else {
    HWY_DYNAMIC_DISPATCH(input_f32)(tiles, channels, picture, planes);
  }
}

void winograd_output(const WinogradTiles& tiles, int64_t channels, const float* sums, int64_t stride,
                     const float* bias, const float* add, float* out) {
  CHECK(channels % 16 == 0);
  HWY_DYNAMIC_DISPATCH(output)(tiles, channels, sums, stride, bias, add, out);
}

}  // namespace wanslim
#endif
