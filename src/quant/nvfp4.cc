// SPDX-License-Identifier: Apache-2.0
#include "quant/nvfp4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/minifloat.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr size_t kBlock = 16;
constexpr uint8_t kLargestScale = 0x7e;  // 448
constexpr int kBelow = -1, kAbove = 5;   // E4M3 codes around absmax / 6; 5 above it is at least absmax / 4

const std::array<float, 128>& e4m3_values() {
  static const std::array<float, 128> values = [] {
    std::array<float, 128> v{};
    for (size_t code = 0; code < v.size(); ++code) v[code] = e4m3_to_float(static_cast<uint8_t>(code));
    return v;
  }();
  return values;
}

float global_scale(float absmax) {
  if (absmax == 0) return 1;
  int exponent = 0;
  const float mantissa = std::frexp(absmax / 2688, &exponent);
  return std::ldexp(1.0f, std::clamp(mantissa == 0.5f ? exponent - 1 : exponent, -110, 110));
}

struct RowWork {
  explicit RowWork(size_t in)
      : blocks(in / kBlock),
        absmax(blocks),
        scales(blocks),
        errors(blocks),
        best(blocks),
        first(blocks),
        chosen(blocks),
        codes(in) {}
  size_t blocks;
  std::vector<float> absmax, scales, errors, best;
  std::vector<uint8_t> first, chosen, codes;
};

void quantize_row(std::span<const float> row, float global, RowWork& work, std::span<uint8_t> packed,
                  std::span<uint8_t> scale_codes) {
  const std::array<float, 128>& e4m3 = e4m3_values();
  block_absmax(row, kBlock, work.absmax);
  for (size_t b = 0; b < work.blocks; ++b) {
    work.first[b] = float_to_e4m3(std::min(work.absmax[b] / 6 / global, 448.0f));
  }
  for (int step = kBelow; step <= kAbove; ++step) {
    auto code = [&](size_t b) {
      return static_cast<uint8_t>(std::clamp<int>(work.first[b] + step, 1, kLargestScale));
    };
    for (size_t b = 0; b < work.blocks; ++b) work.scales[b] = 1.0f / (e4m3[code(b)] * global);
    minifloat_errors(row, kBlock, kE2M1, work.scales, work.errors);
    for (size_t b = 0; b < work.blocks; ++b) {
      const float error = work.errors[b] * e4m3[code(b)] * e4m3[code(b)];
      if (step == kBelow || error < work.best[b]) {
        work.best[b] = error;
        work.chosen[b] = code(b);
      }
    }
  }
  for (size_t b = 0; b < work.blocks; ++b) {
    scale_codes[b] = work.chosen[b];
    work.scales[b] = e4m3[work.chosen[b]] * global;
  }
  minifloat_codes(row, kBlock, kE2M1, MiniRule::kEven, work.scales, work.codes);
  pack_nibbles(work.codes, packed);
}

}  // namespace

QuantizedLinear quantize_nvfp4(const LinearWeight& linear, const QuantScheme& scheme) {
  const int64_t out = linear.out(), in = linear.in();
  CHECK(in % static_cast<int64_t>(kBlock) == 0);
  QuantizedLinear result;
  result.name = linear.name;
  result.scheme = scheme;
  result.weight = Tensor(DType::kU8, {out, in / 2});
  result.scale = Tensor(DType::kF8E4M3, {out, in / static_cast<int64_t>(kBlock)});
  result.dual_scale = Tensor(DType::kF32, {1});
  result.bias = bias_as_float(linear, Numerics::kPrecise);
  const float global = global_scale(absmax_of(linear, Numerics::kPrecise));
  result.dual_scale.as<float>()[0] = global;
  const std::span<uint8_t> weight = result.weight.as<uint8_t>(), scale = result.scale.as<uint8_t>();
  const size_t half = static_cast<size_t>(in / 2), blocks = static_cast<size_t>(in) / kBlock;
  for_each_row(linear, Numerics::kPrecise, [&](int64_t r, std::span<const float> row, float) {
    RowWork work(row.size());
    quantize_row(row, global, work, weight.subspan(static_cast<size_t>(r) * half, half),
                 scale.subspan(static_cast<size_t>(r) * blocks, blocks));
  });
  return result;
}

}  // namespace wanslim
