// SPDX-License-Identifier: Apache-2.0
#include "kernels/run_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/run_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, RunTile::kRuns>;
using Floats = hn::Vec<Tag>;
constexpr size_t kRuns = RunTile::kRuns;
constexpr float kRounder = 12582912.0f;  // see round.cc

HWY_INLINE Floats set(float value) {
  return hn::Set(Tag(), value);
}

// 1 / x, 0 for 0.
HWY_INLINE Floats inverse_or_zero(Floats x) {
  return hn::IfThenZeroElse(hn::Eq(x, hn::Zero(Tag())), hn::Div(set(1), x));
}

HWY_INLINE Floats nearest(Floats v, Floats low, Floats high) {
  const auto rounder = set(kRounder);
  return hn::Sub(hn::Add(hn::Min(hn::Max(v, low), high), rounder), rounder);
}

// Sums over the codes q = nearest((x - base) * inverse) of one run a lane.
struct CodeSums {
  Floats q, qq, xq;
};
HWY_INLINE CodeSums code_sums(const float* HWY_RESTRICT x, size_t count, Floats base, Floats inverse,
                              Floats low, Floats high) {
  const Tag d;
  Floats q = hn::Zero(d), qq = hn::Zero(d), xq = hn::Zero(d);
  for (size_t i = 0; i < count; ++i) {
    const auto value = hn::Load(d, x + i * kRuns);
    const auto code = nearest(hn::Mul(hn::Sub(value, base), inverse), low, high);
    q = hn::Add(q, code);
    qq = hn::Add(qq, hn::Mul(code, code));
    xq = hn::Add(xq, hn::Mul(value, code));
  }
  return {q, qq, xq};
}

void affine(const RunTile& tile, int high, int steps, float* HWY_RESTRICT scale_out,
            float* HWY_RESTRICT offset_out) {
  const Tag d;
  const auto n = set(static_cast<float>(tile.count)), zero = hn::Zero(d), top = set(static_cast<float>(high));
  for (size_t first = 0; first < kRuns; first += hn::Lanes(d)) {
    const float* x = tile.values.data() + first;
    auto least = hn::Load(d, x), largest = least, sum = zero;
    for (size_t i = 0; i < tile.count; ++i) {
      const auto value = hn::Load(d, x + i * kRuns);
      least = hn::Min(least, value), largest = hn::Max(largest, value), sum = hn::Add(sum, value);
    }
    least = hn::Min(least, zero);  // an offset cannot be negative
    const auto range_inverse = inverse_or_zero(hn::Sub(largest, least));
    auto best_gain = zero, best_scale = zero, best_offset = zero;
    for (int step = 0; step < steps; ++step) {
      const float parts =
          static_cast<float>(high) - 1.2f + 2.4f * static_cast<float>(step) / static_cast<float>(steps);
      const CodeSums s = code_sums(x, tile.count, least, hn::Mul(range_inverse, set(parts)), zero, top);
      const auto slope = hn::Mul(hn::Sub(hn::Mul(n, s.xq), hn::Mul(sum, s.q)),
                                 inverse_or_zero(hn::Sub(hn::Mul(n, s.qq), hn::Mul(s.q, s.q))));
      const auto shift = hn::Mul(hn::Sub(hn::Mul(slope, s.q), sum), hn::Div(set(1), n));
      const auto through_zero = hn::Or(hn::Lt(shift, zero), hn::Lt(slope, zero));
      const auto scale =
          hn::IfThenElse(through_zero, hn::Max(hn::Mul(s.xq, inverse_or_zero(s.qq)), zero), slope);
      const auto offset = hn::IfThenZeroElse(through_zero, shift);
      // sum x^2 - error = 2 (scale xq - offset x) - scale^2 qq - n offset^2 + 2 scale offset q.
      auto gain = hn::Sub(hn::Mul(scale, s.xq), hn::Mul(offset, sum));
      gain = hn::Add(hn::Add(gain, gain), hn::Mul(hn::Mul(scale, offset), hn::Add(s.q, s.q)));
      gain =
          hn::Sub(gain, hn::Add(hn::Mul(hn::Mul(scale, scale), s.qq), hn::Mul(n, hn::Mul(offset, offset))));
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best_scale = hn::IfThenElse(better, scale, best_scale);
      best_offset = hn::IfThenElse(better, offset, best_offset);
    }
    hn::Store(best_scale, d, scale_out + first);
    hn::Store(best_offset, d, offset_out + first);
  }
}

void symmetric(const RunTile& tile, CodeRange range, int steps, float* HWY_RESTRICT scale_out) {
  const Tag d;
  const auto zero = hn::Zero(d), low = set(static_cast<float>(range.low)),
             high = set(static_cast<float>(range.high));
  for (size_t first = 0; first < kRuns; first += hn::Lanes(d)) {
    const float* x = tile.values.data() + first;
    auto largest = zero;
    for (size_t i = 0; i < tile.count; ++i) largest = hn::Max(largest, hn::Abs(hn::Load(d, x + i * kRuns)));
    const auto unit = inverse_or_zero(largest);
    auto best_gain = zero, best_scale = zero;
    for (int step = 0; step < steps; ++step) {
      const float parts =
          static_cast<float>(range.high) - 0.4f + 1.9f * static_cast<float>(step) / static_cast<float>(steps);
      for (float sign : {1.0f, -1.0f}) {
        const CodeSums s = code_sums(x, tile.count, zero, hn::Mul(unit, set(parts * sign)), low, high);
        const auto scale = hn::Mul(s.xq, inverse_or_zero(s.qq));
        const auto gain = hn::Mul(scale, s.xq);
        const auto better = hn::Gt(gain, best_gain);
        best_gain = hn::IfThenElse(better, gain, best_gain);
        best_scale = hn::IfThenElse(better, scale, best_scale);
      }
    }
    hn::Store(best_scale, d, scale_out + first);
  }
}

void errors(const RunTile& tile, CodeRange range, const float* scale, const float* offset, float* error) {
  const Tag d;
  const auto low = set(static_cast<float>(range.low)), high = set(static_cast<float>(range.high));
  for (size_t first = 0; first < kRuns; first += hn::Lanes(d)) {
    const auto s = hn::Load(d, scale + first), o = hn::Load(d, offset + first), inverse = inverse_or_zero(s);
    auto sum = hn::Zero(d);
    for (size_t i = 0; i < tile.count; ++i) {
      const auto shifted = hn::Add(hn::Load(d, tile.values.data() + i * kRuns + first), o);
      const auto e = hn::Sub(hn::Mul(s, nearest(hn::Mul(shifted, inverse), low, high)), shifted);
      sum = hn::Add(sum, hn::Mul(e, e));
    }
    hn::Store(sum, d, error + first);
  }
}

void codes(const RunTile& tile, CodeRange range, const float* scale, const float* offset, uint8_t* out) {
  const Tag d;
  const hn::RebindToSigned<Tag> di;
  const auto low = set(static_cast<float>(range.low)), high = set(static_cast<float>(range.high));
  HWY_ALIGN int32_t lanes[kRuns];
  for (size_t first = 0; first < kRuns; first += hn::Lanes(d)) {
    const auto s = hn::Load(d, scale + first), o = hn::Load(d, offset + first), inverse = inverse_or_zero(s);
    for (size_t i = 0; i < tile.count; ++i) {
      const auto shifted = hn::Add(hn::Load(d, tile.values.data() + i * kRuns + first), o);
      const auto code = hn::Sub(nearest(hn::Mul(shifted, inverse), low, high), low);
      hn::Store(hn::ConvertTo(di, code), di, lanes);
      for (size_t k = 0; k < hn::Lanes(d); ++k)
        out[(first + k) * tile.count + i] = static_cast<uint8_t>(lanes[k]);
    }
  }
}

void round_away(const float* HWY_RESTRICT row, size_t blocks, const float* HWY_RESTRICT inverse,
                int8_t* HWY_RESTRICT out) {
  const Tag d;
  const hn::RebindToSigned<Tag> di;
  const hn::RebindToUnsigned<Tag> du;
  const hn::Rebind<uint8_t, Tag> db;
  for (size_t b = 0; b < blocks; ++b) {
    const auto inv = hn::Set(d, inverse[b]);
    for (size_t i = b * 32; i < b * 32 + 32; i += hn::Lanes(d)) {
      const auto y = hn::Mul(hn::LoadU(d, row + i), inv);
      const auto magnitude = hn::Abs(y), whole = hn::ConvertTo(d, hn::ConvertTo(di, magnitude));
      const auto up = hn::IfThenElseZero(hn::Ge(hn::Sub(magnitude, whole), set(0.5f)), set(1));
      const auto code = hn::ConvertTo(di, hn::CopySignToAbs(hn::Add(whole, up), y));
      hn::StoreU(hn::TruncateTo(db, hn::BitCast(du, code)), db, reinterpret_cast<uint8_t*>(out) + i);
    }
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(affine);
HWY_EXPORT(symmetric);
HWY_EXPORT(errors);
HWY_EXPORT(codes);
HWY_EXPORT(round_away);

void load_tile(std::span<const float> runs, RunTile& tile) {
  CHECK(runs.size() % RunTile::kRuns == 0 && runs.size() <= tile.values.size());
  tile.count = runs.size() / RunTile::kRuns;
  for (size_t run = 0; run < RunTile::kRuns; ++run) {
    for (size_t i = 0; i < tile.count; ++i)
      tile.values[i * RunTile::kRuns + run] = runs[run * tile.count + i];
  }
}

void fit_affine(const RunTile& tile, int high, int steps, RunFloats& scale, RunFloats& offset) {
  HWY_DYNAMIC_DISPATCH(affine)(tile, high, steps, scale.data(), offset.data());
}

void fit_symmetric(const RunTile& tile, CodeRange range, int steps, RunFloats& scale) {
  HWY_DYNAMIC_DISPATCH(symmetric)(tile, range, steps, scale.data());
}

void tile_errors(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                 RunFloats& error) {
  HWY_DYNAMIC_DISPATCH(errors)(tile, range, scale.data(), offset.data(), error.data());
}

void tile_codes(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                std::span<uint8_t> out) {
  CHECK(out.size() == tile.count * RunTile::kRuns);
  HWY_DYNAMIC_DISPATCH(codes)(tile, range, scale.data(), offset.data(), out.data());
}

void round_away_blocks(std::span<const float> row, std::span<const float> inverse, std::span<int8_t> codes) {
  CHECK(row.size() == codes.size() && row.size() == inverse.size() * 32);
  HWY_DYNAMIC_DISPATCH(round_away)(row.data(), inverse.size(), inverse.data(), codes.data());
}

}  // namespace wanslim
#endif
