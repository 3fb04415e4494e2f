// SPDX-License-Identifier: Apache-2.0
#include "kernels/channel_norm.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/error.h"
#include "base/profile.h"
#include "base/threads.h"
#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/channel_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After highway.h.
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using V = hn::Vec<Tag>;
constexpr size_t kLanes = 16;

HWY_INLINE void store(V v, float* p) {
  hn::StoreU(v, Tag(), p);
}
HWY_INLINE void store(V v, uint16_t* p) {
  const hn::Rebind<uint16_t, Tag> d16;
  const hn::RebindToUnsigned<Tag> du;
  hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(hn::BitCast(du, round_bf16_v(Tag(), v)))), d16, p);
}
HWY_INLINE void store_one(float v, float* p) {
  *p = v;
}
HWY_INLINE void store_one(float v, uint16_t* p) {
  *p = float_to_bf16(v);
}

// Sum of squares in 16 lanes (element i in lane i % 16), the lanes in order: the same on every target.
float sum_of_squares(const float* HWY_RESTRICT x, size_t count) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float part[kLanes] = {};
  size_t whole = count / kLanes * kLanes;
  for (size_t lane = 0; lane < kLanes; lane += lanes) {
    V sum = hn::Zero(d);
    for (size_t i = lane; i < whole; i += kLanes) {
      const V v = hn::LoadU(d, x + i);
      sum = hn::Add(sum, hn::Mul(v, v));
    }
    hn::Store(sum, d, part + lane);
  }
  for (size_t i = whole; i < count; ++i) part[i % kLanes] += x[i] * x[i];
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) part[lane] += part[lane + half];
  }
  return part[0];
}

template <class T>
bool norm(const float* pixels, size_t count, const float* gamma, size_t channels, bool silu, T* out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const float root = std::sqrt(static_cast<float>(channels));
  bool finite = true;
  for (size_t pixel = 0; pixel < count; ++pixel, pixels += channels, out += channels) {
    const float squares = sum_of_squares(pixels, channels);
    finite = finite && std::isfinite(squares);
    const float scale = root / std::max(std::sqrt(squares), 1e-12f);
    const V vscale = hn::Set(d, scale);
    size_t i = 0;
    for (; i + lanes <= channels; i += lanes) {
      const V y = hn::Mul(hn::Mul(hn::LoadU(d, pixels + i), vscale), hn::LoadU(d, gamma + i));
      store(silu ? silu_v(d, y) : y, out + i);
    }
    for (; i < channels; ++i) {
      const V y = hn::Set(d, pixels[i] * scale * gamma[i]);
      store_one(hn::GetLane(silu ? silu_v(d, y) : y), out + i);
    }
  }
  return finite;
}

bool norm_f32(const float* pixels, size_t count, const float* gamma, size_t channels, bool silu, void* out) {
  return norm(pixels, count, gamma, channels, silu, static_cast<float*>(out));
}
bool norm_bf16(const float* pixels, size_t count, const float* gamma, size_t channels, bool silu, void* out) {
  return norm(pixels, count, gamma, channels, silu, static_cast<uint16_t*>(out));
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {

HWY_EXPORT(norm_f32);
HWY_EXPORT(norm_bf16);

bool channel_norm(std::span<const float> pixels, std::span<const float> gamma, bool silu, DType dtype,
                  void* out) {
  const Timed timed("norms, modulation, rotation");
  const size_t channels = gamma.size();
  CHECK(channels > 0 && pixels.size() % channels == 0);
  const int64_t count = static_cast<int64_t>(pixels.size() / channels);
  const auto run = dtype == DType::kBF16 ? HWY_DYNAMIC_DISPATCH(norm_bf16) : HWY_DYNAMIC_DISPATCH(norm_f32);
  std::atomic<bool> finite{true};
  parallel_for(count, std::max<int64_t>(1, 65536 / static_cast<int64_t>(channels)),
               [&](int64_t begin, int64_t end) {
                 const size_t first = static_cast<size_t>(begin) * channels;
                 if (!run(pixels.data() + first, static_cast<size_t>(end - begin), gamma.data(), channels,
                          silu, static_cast<std::byte*>(out) + first * size_of(dtype))) {
                   finite = false;
                 }
               });
  return finite;
}

}  // namespace wanslim
#endif
