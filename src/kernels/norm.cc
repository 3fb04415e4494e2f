// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

using Tag = hn::ScalableTag<float>;

// Sum of term(x[i]) over the row; the rest behind the last whole vector is added at the end.
template <class Vector, class Scalar>
HWY_INLINE float row_sum(const float* HWY_RESTRICT x, size_t width, const Vector& vector_term,
                         const Scalar& scalar_term) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    sum0 = hn::Add(sum0, vector_term(hn::LoadU(d, x + i)));
    sum1 = hn::Add(sum1, vector_term(hn::LoadU(d, x + i + lanes)));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < width; ++i) sum += scalar_term(x[i]);
  return sum;
}

// (mean, 1 / sqrt(variance + eps)).
HWY_INLINE void moments(const float* x, size_t width, float eps, float& mean, float& inverse) {
  using V = hn::Vec<Tag>;
  const Tag d;
  const float count = static_cast<float>(width);
  mean = row_sum(
             x, width, [](V v) HWY_ATTR { return v; }, [](float v) { return v; }) /
         count;
  const V center = hn::Set(d, mean);
  const float squares = row_sum(
      x, width,
      [&](V v) HWY_ATTR {
        const V difference = hn::Sub(v, center);
        return hn::Mul(difference, difference);
      },
      [&](float v) { return (v - mean) * (v - mean); });
  inverse = 1.0f / std::sqrt(squares / count + eps);
}

void layer_norm_row(const float* HWY_RESTRICT x, size_t width, const LayerNorm& norm, float* HWY_RESTRICT y) {
  const Tag d;
  float mean = 0, inverse = 0;
  moments(x, width, norm.eps, mean, inverse);
  const auto finish = [&](size_t i, auto tag) HWY_ATTR {
    const auto at = [&](const float* p) HWY_ATTR { return hn::LoadU(tag, p + i); };
    auto v = hn::Mul(hn::Sub(at(x), hn::Set(tag, mean)), hn::Set(tag, inverse));
    if (norm.weight != nullptr) v = hn::Add(hn::Mul(v, at(norm.weight)), at(norm.bias));
    if (norm.round) v = round_bf16_v(tag, v);
    if (norm.scale != nullptr) {
      v = hn::Add(hn::Mul(v, hn::Add(hn::Set(tag, 1.0f), at(norm.scale))), at(norm.shift));
    }
    hn::StoreU(v, tag, y + i);
  };
  size_t i = 0;
  for (; i + hn::Lanes(d) <= width; i += hn::Lanes(d)) finish(i, d);
  for (; i < width; ++i) finish(i, hn::CappedTag<float, 1>());
}

void rms_norm_row(const float* x, size_t width, const RmsNorm& norm, float* y) {
  using V = hn::Vec<Tag>;
  const Tag d;
  const float squares = row_sum(
      x, width, [](V v) HWY_ATTR { return hn::Mul(v, v); }, [](float v) { return v * v; });
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(width) + norm.eps);
  const auto finish = [&](size_t i, auto tag) HWY_ATTR {
    auto v = hn::Mul(hn::LoadU(tag, x + i), hn::Set(tag, inverse));
    if (norm.round) v = round_bf16_v(tag, v);
    hn::StoreU(hn::Mul(v, hn::LoadU(tag, norm.weight + i)), tag, y + i);
  };
  size_t i = 0;
  for (; i + hn::Lanes(d) <= width; i += hn::Lanes(d)) finish(i, d);
  for (; i < width; ++i) finish(i, hn::CappedTag<float, 1>());
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"
#include "base/threads.h"
#include "kernels/convert.h"
#include "kernels/scratch.h"

namespace wanslim {
namespace {

HWY_EXPORT(layer_norm_row);
HWY_EXPORT(rms_norm_row);

constexpr int64_t kRowsPerTask = 16;

void finish_row(const float* row, int64_t, float*) {
  static_cast<void>(row);
}
void finish_row(const float* row, int64_t width, uint16_t* y) {
  narrow_bf16({row, static_cast<size_t>(width)}, {y, static_cast<size_t>(width)});
}
const float* start_row(const float* x, int64_t, float*) {
  return x;
}
const float* start_row(const uint16_t* x, int64_t width, float* row) {
  widen_bf16({x, static_cast<size_t>(width)}, {row, static_cast<size_t>(width)});
  return row;
}
float* row_target(float* y, float*) {
  return y;
}
float* row_target(uint16_t*, float* scratch) {
  return scratch;
}

template <class T>
void layer_norm_rows(const float* x, int64_t rows, int64_t width, const LayerNorm& norm, T* y) {
  CHECK((norm.weight == nullptr) == (norm.bias == nullptr) &&
        (norm.scale == nullptr) == (norm.shift == nullptr));
  const auto row_kernel = HWY_DYNAMIC_DISPATCH(layer_norm_row);
  parallel_for(rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    float* scratch = reinterpret_cast<float*>(thread_scratch(static_cast<size_t>(width) * 4));
    for (int64_t r = begin; r < end; ++r) {
      float* row = row_target(y + r * width, scratch);
      row_kernel(x + r * width, static_cast<size_t>(width), norm, row);
      finish_row(row, width, y + r * width);
    }
  });
}

template <class T>
void rms_norm_rows(const T* x, int64_t rows, int64_t width, const RmsNorm& norm, T* y) {
  const int64_t head_dim = norm.rope != nullptr ? norm.rope->head_dim : width;
  CHECK(width % head_dim == 0);
  const auto row_kernel = HWY_DYNAMIC_DISPATCH(rms_norm_row);
  parallel_for(rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    float* scratch = reinterpret_cast<float*>(thread_scratch(static_cast<size_t>(width) * 4));
    std::vector<double> turns(norm.rope != nullptr ? static_cast<size_t>(head_dim) : 0);
    for (int64_t r = begin; r < end; ++r) {
      float* row = row_target(y + r * width, scratch);
      row_kernel(start_row(x + r * width, width, row), static_cast<size_t>(width), norm, row);
      if (norm.rope != nullptr) {
        norm.rope->angles(norm.first_token + r, turns.data(), turns.data() + head_dim / 2);
        rotate_row(row, width / head_dim, head_dim, turns.data(), turns.data() + head_dim / 2);
      }
      finish_row(row, width, y + r * width);
    }
  });
}

}  // namespace

void layer_norm(const float* x, int64_t rows, int64_t width, const LayerNorm& norm, float* y) {
  layer_norm_rows(x, rows, width, norm, y);
}
void layer_norm(const float* x, int64_t rows, int64_t width, const LayerNorm& norm, uint16_t* y) {
  layer_norm_rows(x, rows, width, norm, y);
}
void rms_norm(const float* x, int64_t rows, int64_t width, const RmsNorm& norm, float* y) {
  rms_norm_rows(x, rows, width, norm, y);
}
void rms_norm(const uint16_t* x, int64_t rows, int64_t width, const RmsNorm& norm, uint16_t* y) {
  rms_norm_rows(x, rows, width, norm, y);
}

}  // namespace wanslim
#endif
