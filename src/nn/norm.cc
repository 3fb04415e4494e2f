// SPDX-License-Identifier: Apache-2.0
#include "nn/norm.h"

#include <string>

#include "base/profile.h"

namespace wanslim {

std::vector<float> load_parameter(const WeightSource& source, std::string_view tensor, int64_t count) {
  const Tensor values = to_f32(source.load(tensor));
  if (values.count() != count) {
    throw Error{
        {.what = "has " + std::to_string(values.count()) + " elements, expected " + std::to_string(count),
         .where = std::string(tensor)}};
  }
  return {values.as<float>().begin(), values.as<float>().end()};
}

NormParameters NormParameters::load(const WeightSource& source, std::string_view layer, int64_t width) {
  const std::string name(layer);
  return {load_parameter(source, name + ".weight", width), load_parameter(source, name + ".bias", width)};
}

void normalize(const Rows& x, const LayerNorm& norm, DType dtype, RowBuffer& y) {
  const Timed timed("norms, modulation, rotation");
  y.resize(dtype, x.count, x.width);
  if (dtype == DType::kF32) {
    layer_norm(x.f32(), x.count, x.width, norm, y.f32());
  } else {
    layer_norm(x.f32(), x.count, x.width, norm, y.bf16());
  }
}

void normalize_rms(RowBuffer& x, const RmsNorm& norm) {
  const Timed timed("norms, modulation, rotation");
  if (x.dtype() == DType::kF32) {
    rms_norm(x.f32(), x.count(), x.width(), norm, x.f32());
  } else {
    rms_norm(x.bf16(), x.count(), x.width(), norm, x.bf16());
  }
}

}  // namespace wanslim
