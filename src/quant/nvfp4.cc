// SPDX-License-Identifier: Apache-2.0
#include "quant/nvfp4.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/minifloat.h"
#include "kernels/nvfp4_search.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr size_t kBlock = kNvfp4Block;

Nvfp4Scales scales_under(float global) {
  Nvfp4Scales scales;
  for (size_t code = 0; code < scales.value.size(); ++code) {
    scales.value[code] = e4m3_to_float(static_cast<uint8_t>(code));
    scales.inverse[code] = 1.0f / (scales.value[code] * global);
  }
  return scales;
}

float global_scale(float absmax) {
  if (absmax == 0) return 1;
  int exponent = 0;
  const float mantissa = std::frexp(absmax / 2688, &exponent);
  return std::ldexp(1.0f, std::clamp(mantissa == 0.5f ? exponent - 1 : exponent, -110, 110));
}

struct RowWork {
  std::vector<float> inverse;
  std::vector<uint8_t> first;
};

// Around absmax / 6, which just holds the largest value, up to absmax / 4, which has finer steps there.
void quantize_row(std::span<const float> row, std::span<const float> absmax, float global,
                  const Nvfp4Scales& e4m3, std::span<uint8_t> packed, std::span<uint8_t> scale_codes) {
  thread_local RowWork work;  // kept from row to row: its memory costs more than the arithmetic
  work.first.resize(absmax.size());
  work.inverse.resize(absmax.size());
  const float six = 6 * global;
  minifloat_codes(absmax, absmax.size(), kE4M3, MiniRule::kEven, {&six, 1}, work.first);
  nvfp4_search(row, e4m3, work.first, scale_codes);
  for (size_t b = 0; b < absmax.size(); ++b) work.inverse[b] = e4m3.inverse[scale_codes[b]];
  minifloat_nibbles(row, kBlock, work.inverse, packed);
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
  const Nvfp4Scales e4m3 = scales_under(global);
  const std::span<uint8_t> weight = result.weight.as<uint8_t>(), scale = result.scale.as<uint8_t>();
  const size_t half = static_cast<size_t>(in / 2), blocks = static_cast<size_t>(in) / kBlock;
  const auto quantize = [&](int64_t r, std::span<const float> row, std::span<const float> absmax) {
    quantize_row(row, absmax, global, e4m3, weight.subspan(static_cast<size_t>(r) * half, half),
                 scale.subspan(static_cast<size_t>(r) * blocks, blocks));
  };
  for_each_row_in_blocks(linear, kBlock, Numerics::kPrecise, quantize);
  return result;
}

}  // namespace wanslim
