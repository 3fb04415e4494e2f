// SPDX-License-Identifier: Apache-2.0
#include "kernels/round.h"

#include <algorithm>

#include "tensor/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/round.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
constexpr size_t kLanes = 16, kChunk = 1024;

// 1.5 * 2^23: adding it rounds a small float to an integer, half to even, and leaves that integer in the low
// bits.
constexpr float kRounder = 12582912.0f;
constexpr uint32_t kRounderBits = 0x4b400000u;

uint32_t absmax_bits(const float* HWY_RESTRICT row, size_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto mask = hn::Set(di, 0x7fffffff);
  auto largest0 = hn::Zero(di), largest1 = hn::Zero(di);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    largest0 = hn::Max(largest0, hn::And(hn::BitCast(di, hn::LoadU(d, row + i)), mask));
    largest1 = hn::Max(largest1, hn::And(hn::BitCast(di, hn::LoadU(d, row + i + lanes)), mask));
  }
  HWY_ALIGN int32_t part[HWY_MAX_BYTES / sizeof(int32_t)];
  hn::Store(hn::Max(largest0, largest1), di, part);
  uint32_t largest = 0;
  for (size_t k = 0; k < lanes; ++k) largest = std::max(largest, static_cast<uint32_t>(part[k]));
  for (; i < count; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(row[i]) & 0x7fffffffu);
  return largest;
}

// The rounding of x / scale to the working precision.
struct KeepFloat {
  template <class D, class V>
  static HWY_INLINE V apply(D, V v) {
    return v;
  }
  static float apply(float v) { return v; }
};
struct ToBf16 {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V v) {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
    return hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
  }
  static float apply(float v) { return round_bf16(v); }
};

template <class Rounding>
HWY_INLINE void quantize(const float* HWY_RESTRICT row, float scale, CodeRange range,
                         int8_t* HWY_RESTRICT codes, size_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint8_t, decltype(d)> db;
  const float low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  const auto vscale = hn::Set(d, scale), vlow = hn::Set(d, low), vhigh = hn::Set(d, high),
             rounder = hn::Set(d, kRounder);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto quotient = Rounding::apply(d, hn::Div(hn::LoadU(d, row + i), vscale));
    const auto clamped = hn::Min(hn::Max(quotient, vlow), vhigh);
    const auto bits = hn::BitCast(du, hn::Add(clamped, rounder));
    hn::StoreU(hn::TruncateTo(db, bits), db, reinterpret_cast<uint8_t*>(codes) + i);
  }
  for (; i < count; ++i) {
    const float clamped = std::min(std::max(Rounding::apply(row[i] / scale), low), high);
    codes[i] = static_cast<int8_t>(std::bit_cast<uint32_t>(clamped + kRounder) - kRounderBits);
  }
}

void quantize_float(const float* row, float scale, CodeRange range, int8_t* codes, size_t count) {
  quantize<KeepFloat>(row, scale, range, codes, count);
}
void quantize_bf16(const float* row, float scale, CodeRange range, int8_t* codes, size_t count) {
  quantize<ToBf16>(row, scale, range, codes, count);
}

// Adds each chunk's 16 lanes to `total` in lane order.
HWY_INLINE double lane_sum(const float* lanes) {
  double sum = 0;
  for (size_t k = 0; k < kLanes; ++k) sum += static_cast<double>(lanes[k]);
  return sum;
}

// Squared code errors of N scales over one chunk. Lanes [first, first + lanes) of the 16 per pass, so that
// the sums do not depend on the width of a vector.
template <size_t N>
HWY_INLINE void chunk_errors(const float* HWY_RESTRICT row, size_t count, const float* inverse, float low,
                             float high, double* errors) {
  const Tag d;
  HWY_ALIGN float lanes[N][kLanes];
  const auto vlow = hn::Set(d, low), vhigh = hn::Set(d, high), rounder = hn::Set(d, kRounder);
  const size_t whole = count / kLanes * kLanes;
  for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
    hn::Vec<Tag> inv[N], sum[N];
    for (size_t k = 0; k < N; ++k) inv[k] = hn::Set(d, inverse[k]), sum[k] = hn::Zero(d);
    for (size_t i = first; i < whole; i += kLanes) {
      const auto x = hn::LoadU(d, row + i);
      for (size_t k = 0; k < N; ++k) {
        const auto y = hn::Mul(x, inv[k]);
        const auto code = hn::Sub(hn::Add(hn::Min(hn::Max(y, vlow), vhigh), rounder), rounder);
        const auto e = hn::Sub(y, code);
        sum[k] = hn::Add(sum[k], hn::Mul(e, e));
      }
    }
    for (size_t k = 0; k < N; ++k) hn::Store(sum[k], d, lanes[k] + first);
  }
  for (size_t k = 0; k < N; ++k) {
    for (size_t i = whole; i < count; ++i) {
      const float y = row[i] * inverse[k];
      const float code = (std::min(std::max(y, low), high) + kRounder) - kRounder;
      lanes[k][i % kLanes] += (y - code) * (y - code);
    }
    errors[k] += lane_sum(lanes[k]);
  }
}

template <size_t N>
void row_errors(const float* row, size_t count, const float* inverse, CodeRange range, double* errors) {
  std::fill(errors, errors + N, 0.0);
  for (size_t i = 0; i < count; i += kChunk) {
    chunk_errors<N>(row + i, std::min(kChunk, count - i), inverse, static_cast<float>(range.low),
                    static_cast<float>(range.high), errors);
  }
}

// `scales` is 1 to 4.
void code_errors(const float* row, size_t count, const float* inverse, size_t scales, CodeRange range,
                 double* errors) {
  if (scales == 1) return row_errors<1>(row, count, inverse, range, errors);
  if (scales == 2) return row_errors<2>(row, count, inverse, range, errors);
  if (scales == 3) return row_errors<3>(row, count, inverse, range, errors);
  row_errors<4>(row, count, inverse, range, errors);
}

double squared_error(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t count) {
  const Tag d;
  HWY_ALIGN float lanes[kLanes];
  double total = 0;
  for (size_t start = 0; start < count; start += kChunk) {
    const size_t end = std::min(count, start + kChunk), whole = start + (end - start) / kLanes * kLanes;
    for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
      auto sum = hn::Zero(d);
      for (size_t i = start + first; i < whole; i += kLanes) {
        const auto e = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
        sum = hn::Add(sum, hn::Mul(e, e));
      }
      hn::Store(sum, d, lanes + first);
    }
    for (size_t i = whole; i < end; ++i) lanes[i % kLanes] += (a[i] - b[i]) * (a[i] - b[i]);
    total += lane_sum(lanes);
  }
  return total;
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

constexpr size_t kMostScales = 4;  // of one pass

HWY_EXPORT(absmax_bits);
HWY_EXPORT(quantize_float);
HWY_EXPORT(quantize_bf16);
HWY_EXPORT(code_errors);
HWY_EXPORT(squared_error);

float absmax(std::span<const float> row) {
  return std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(absmax_bits)(row.data(), row.size()));
}

void quantize_row(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes) {
  CHECK(row.size() == codes.size());
  HWY_DYNAMIC_DISPATCH(quantize_float)(row.data(), scale, range, codes.data(), row.size());
}

void quantize_row_bf16(std::span<const float> row, float scale, CodeRange range, std::span<int8_t> codes) {
  CHECK(row.size() == codes.size());
  HWY_DYNAMIC_DISPATCH(quantize_bf16)(row.data(), scale, range, codes.data(), row.size());
}

void code_errors(std::span<const float> row, std::span<const float> scales, CodeRange range,
                 std::span<double> errors) {
  CHECK(scales.size() == errors.size());
  for (size_t first = 0; first < scales.size(); first += kMostScales) {
    const size_t count = std::min(kMostScales, scales.size() - first);
    float inverse[kMostScales];
    for (size_t k = 0; k < count; ++k) inverse[k] = 1.0f / scales[first + k];
    HWY_DYNAMIC_DISPATCH(code_errors)(row.data(), row.size(), inverse, count, range, &errors[first]);
  }
}

double squared_error(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  return HWY_DYNAMIC_DISPATCH(squared_error)(a.data(), b.data(), a.size());
}

}  // namespace wanslim
#endif
