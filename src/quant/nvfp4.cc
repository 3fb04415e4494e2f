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
  explicit RowWork(size_t in)
      : blocks(in / kBlock), absmax(blocks), scales(blocks), first(blocks), codes(in) {}
  size_t blocks;
  std::vector<float> absmax, scales;
  std::vector<uint8_t> first, codes;
};

// Around absmax / 6, which just holds the largest value, up to absmax / 4, which has finer steps there.
void quantize_row(std::span<const float> row, float global, const Nvfp4Scales& e4m3, RowWork& work,
                  std::span<uint8_t> packed, std::span<uint8_t> scale_codes) {
  block_absmax(row, kBlock, work.absmax);
  for (size_t b = 0; b < work.blocks; ++b) {
    work.first[b] = float_to_e4m3(std::min(work.absmax[b] / 6 / global, 448.0f));
  }
  nvfp4_search(row, e4m3, work.first, scale_codes);
  for (size_t b = 0; b < work.blocks; ++b) work.scales[b] = e4m3.value[scale_codes[b]] * global;
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
  const Nvfp4Scales e4m3 = scales_under(global);
  const std::span<uint8_t> weight = result.weight.as<uint8_t>(), scale = result.scale.as<uint8_t>();
  const size_t half = static_cast<size_t>(in / 2), blocks = static_cast<size_t>(in) / kBlock;
  for_each_row(linear, Numerics::kPrecise, [&](int64_t r, std::span<const float> row, float) {
    RowWork work(row.size());
    quantize_row(row, global, e4m3, work, weight.subspan(static_cast<size_t>(r) * half, half),
                 scale.subspan(static_cast<size_t>(r) * blocks, blocks));
  });
  return result;
}

}  // namespace wanslim
