// SPDX-License-Identifier: Apache-2.0
#include "kernels/scale_fit.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scale_fit.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using Floats = hn::Vec<Tag>;
constexpr size_t kLanes = 16, kChunk = 1024;
constexpr float kRounder = 12582912.0f;  // see round.cc

HWY_INLINE Floats to_bf16(Floats v) {
  const Tag d;
  const hn::RebindToUnsigned<Tag> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  return hn::BitCast(d, hn::And(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))), hn::Set(du, 0xffff0000u)));
}

HWY_INLINE Floats clamped_code(Floats quotient, Floats low, Floats high) {
  const auto rounder = hn::Set(Tag(), kRounder);
  return hn::Sub(hn::Add(hn::Min(hn::Max(quotient, low), high), rounder), rounder);
}

// Sums kTerms functions of the elements: term(x, index, out) fills out[kTerms]; elements beyond the end are
// skipped by padding the last vector with zeros, which `term` must map to zeros.
template <size_t kTerms, class Term>
HWY_INLINE void ordered_sums(const float* HWY_RESTRICT row, size_t count, Term term, double* totals) {
  const Tag d;
  HWY_ALIGN float lanes[kTerms][kLanes];
  HWY_ALIGN float rest[kLanes];
  for (size_t start = 0; start < count; start += kChunk) {
    const size_t end = std::min(count, start + kChunk), whole = start + (end - start) / kLanes * kLanes;
    std::fill(rest, rest + kLanes, 0.0f);
    std::copy(row + whole, row + end, rest);
    for (size_t first = 0; first < kLanes; first += hn::Lanes(d)) {
      Floats sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d);
      for (size_t i = start + first; i < whole; i += kLanes) term(hn::LoadU(d, row + i), i, sum0, sum1, sum2);
      if (whole < end) term(hn::Load(d, rest + first), whole + first, sum0, sum1, sum2);
      hn::Store(sum0, d, lanes[0] + first);
      if constexpr (kTerms > 1) hn::Store(sum1, d, lanes[1] + first);
      if constexpr (kTerms > 2) hn::Store(sum2, d, lanes[2] + first);
    }
    for (size_t t = 0; t < kTerms; ++t) {
      double chunk = 0;
      for (float lane : lanes[t]) chunk += static_cast<double>(lane);
      totals[t] += chunk;
    }
  }
}

void fit(const float* row, size_t count, float inverse, CodeRange range, double* totals) {
  const Tag d;
  const auto inv = hn::Set(d, inverse), low = hn::Set(d, static_cast<float>(range.low)),
             high = hn::Set(d, static_cast<float>(range.high));
  auto term = [&](Floats x, size_t, Floats& row_code, Floats& code_code, Floats&) HWY_ATTR {
    const auto code = clamped_code(hn::Mul(x, inv), low, high);
    row_code = hn::Add(row_code, hn::Mul(x, code));
    code_code = hn::Add(code_code, hn::Mul(code, code));
  };
  ordered_sums<2>(row, count, term, totals);
}

void ssz(const float* row, size_t count, float scale, CodeRange range, double* totals) {
  const Tag d;
  const auto vscale = hn::Set(d, scale), low = hn::Set(d, static_cast<float>(range.low)),
             high = hn::Set(d, static_cast<float>(range.high));
  auto term = [&](Floats x, size_t, Floats& row_code, Floats& code_code, Floats& error) HWY_ATTR {
    const auto code = clamped_code(to_bf16(hn::Div(x, vscale)), low, high);
    row_code = hn::Add(row_code, to_bf16(hn::Mul(x, code)));
    code_code = hn::Add(code_code, to_bf16(hn::Mul(code, code)));
    const auto e = to_bf16(hn::Sub(to_bf16(hn::Mul(code, vscale)), x));
    error = hn::Add(error, to_bf16(hn::Mul(e, e)));
  };
  ordered_sums<3>(row, count, term, totals);
}

// `weights` is readable up to the next multiple of 16.
void weighted2(const float* row, const float* weights, size_t count, const float* inverse, CodeRange range,
               double* totals) {
  const Tag d;
  const auto inv0 = hn::Set(d, inverse[0]), inv1 = hn::Set(d, inverse[1]),
             low = hn::Set(d, static_cast<float>(range.low)),
             high = hn::Set(d, static_cast<float>(range.high));
  auto term = [&](Floats x, size_t at, Floats& error0, Floats& error1, Floats&) HWY_ATTR {
    const auto weight = hn::LoadU(d, weights + at);
    const auto y0 = hn::Mul(x, inv0), y1 = hn::Mul(x, inv1);
    const auto e0 = hn::Sub(y0, clamped_code(y0, low, high)), e1 = hn::Sub(y1, clamped_code(y1, low, high));
    error0 = hn::Add(error0, hn::Mul(weight, hn::Mul(e0, e0)));
    error1 = hn::Add(error1, hn::Mul(weight, hn::Mul(e1, e1)));
  };
  ordered_sums<2>(row, count, term, totals);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

#include "base/error.h"

namespace wanslim {

HWY_EXPORT(fit);
HWY_EXPORT(ssz);
HWY_EXPORT(weighted2);

FitSums fit_sums(std::span<const float> row, float scale, CodeRange range) {
  double totals[2] = {};
  HWY_DYNAMIC_DISPATCH(fit)(row.data(), row.size(), 1.0f / scale, range, totals);
  return {totals[0], totals[1]};
}

SszSums ssz_sums_bf16(std::span<const float> row, float scale, CodeRange range) {
  double totals[3] = {};
  HWY_DYNAMIC_DISPATCH(ssz)(row.data(), row.size(), scale, range, totals);
  return {totals[0], totals[1], totals[2]};
}

void weighted_code_errors(std::span<const float> row, std::span<const float> weights,
                          std::span<const float> scales, CodeRange range, std::span<double> errors) {
  CHECK(weights.size() == row.size() && scales.size() == errors.size());
  std::vector<float> padded;
  if (weights.size() % 16 != 0) {
    padded.reserve(weights.size() + 16);
    padded.insert(padded.end(), weights.begin(), weights.end());
    padded.resize((weights.size() / 16 + 1) * 16);
    weights = padded;
  }
  for (size_t k = 0; k < scales.size(); k += 2) {
    const bool pair = k + 1 < scales.size();
    const float inverse[2] = {1.0f / scales[k], 1.0f / scales[pair ? k + 1 : k]};
    double two[2] = {};
    HWY_DYNAMIC_DISPATCH(weighted2)(row.data(), weights.data(), row.size(), inverse, range, two);
    errors[k] = two[0];
    if (pair) errors[k + 1] = two[1];
  }
}

}  // namespace wanslim
#endif
