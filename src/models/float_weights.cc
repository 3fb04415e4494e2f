// SPDX-License-Identifier: Apache-2.0
#include "models/float_weights.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "kernels/convert.h"

namespace wanslim {
namespace {

std::string quoted(std::string_view name) {
  return fmt::format("\"{}\"", printable(name));
}

}  // namespace

std::vector<float> to_floats(const Tensor& tensor, std::string_view name) {
  std::vector<float> out(static_cast<size_t>(tensor.count()));
  switch (tensor.dtype()) {
    case DType::kF32: {
      const auto values = tensor.as<float>();
      out.assign(values.begin(), values.end());
      break;
    }
    case DType::kBF16:
      widen_bf16(tensor.as<uint16_t>(), out);
      break;
    case DType::kF16:
      widen_f16(tensor.as<uint16_t>(), out);
      break;
    case DType::kF64: {
      const auto values = tensor.as<double>();
      for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(values[i]);
      break;
    }
    default:
      throw Error({.what = fmt::format("holds {}, expected F32, BF16 or F16", name_of(tensor.dtype())),
                   .where = quoted(name)});
  }
  return out;
}

std::vector<float> load_floats(const WeightSource& weights, std::string_view name, const Shape& shape) {
  if (!weights.has(name)) throw Error({.what = "the tensor is missing", .where = quoted(name)});
  if (const Shape got = weights.shape(name); got != shape) {
    throw Error({.what = fmt::format("shape is {}, expected {}", to_string(got), to_string(shape)),
                 .where = quoted(name)});
  }
  std::vector<float> out = to_floats(weights.load(name), name);
  for (size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(out[i])) {
      throw Error({.what = fmt::format("element {} is {}", i, out[i]),
                   .where = quoted(name),
                   .hint = "the checkpoint is damaged: download it again"});
    }
  }
  return out;
}

}  // namespace wanslim
