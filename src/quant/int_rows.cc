// SPDX-License-Identifier: Apache-2.0
#include "quant/int_rows.h"

namespace wanslim {

QuantizedLinear quantize_int_rows(const LinearWeight& linear, const QuantScheme& scheme, Numerics numerics,
                                  const std::function<float(const IntRun&)>& choose) {
  const CodeRange range = code_range(scheme);
  const size_t in = static_cast<size_t>(linear.in());
  const size_t group =
      scheme.weight_granularity == Granularity::kGroup ? static_cast<size_t>(scheme.group) : in;
  CHECK(group > 0 && in % group == 0);
  const size_t groups = in / group;
  QuantizedLinear result;
  result.name = linear.name;
  result.scheme = scheme;
  result.weight = Tensor(DType::kI8, linear.weight.shape());
  result.scale = Tensor(DType::kF32, {linear.out(), static_cast<int64_t>(groups)});
  result.bias = bias_as_float(linear, numerics);
  const std::span<int8_t> codes = result.weight.as<int8_t>();
  const std::span<float> scales = result.scale.as<float>();
  for_each_row(linear, numerics, [&](int64_t r, std::span<const float> row, float row_absmax) {
    for (size_t g = 0; g < groups; ++g) {
      const std::span<const float> values = row.subspan(g * group, group);
      const std::span<int8_t> to = codes.subspan(static_cast<size_t>(r) * in + g * group, group);
      const float scale = choose({.row = r,
                                  .first = static_cast<int64_t>(g * group),
                                  .values = values,
                                  .absmax = groups == 1 ? row_absmax : absmax(values)});
      scales[static_cast<size_t>(r) * groups + g] = scale;
      if (numerics == Numerics::kCompat) {
        reference_codes(values, scale, range, Working::kBf16, to);
      } else {
        quantize_row(values, scale, range, to);
      }
    }
  });
  return result;
}

}  // namespace wanslim
