// SPDX-License-Identifier: Apache-2.0
#include "eval/tensor_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/portable_math.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

struct Sums {
  double aa = 0, bb = 0, ab = 0, dd = 0, worst = 0;

  void add(float x, float y) {
    const double a = x, b = y, d = a - b;
    aa += a * a;
    bb += b * b;
    ab += a * b;
    dd += d * d;
    // NaN must not lose against a number.
    if (!(std::abs(d) <= worst)) worst = std::abs(d);
  }
  TensorError finish() const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    TensorError out;
    out.identical = dd == 0;
    out.rel_l2 = dd == 0 ? 0 : aa > 0 ? std::sqrt(dd / aa) : kNone;
    out.cosine = dd == 0 ? 1 : aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNone;
    out.sqnr_db = dd == 0 ? std::numeric_limits<double>::infinity() : aa > 0 ? decibels(aa / dd) : kNone;
    out.max_abs = worst;
    return out;
  }
};

template <class T, class Convert>
void convert(const Tensor& src, std::span<float> dst, Convert to) {
  const std::span<const T> values = src.as<T>();
  for (size_t i = 0; i < dst.size(); ++i) dst[i] = to(values[i]);
}

}  // namespace

double decibels(double ratio) {
  return 10 / 2.302585092994046 * portable_log(ratio);
}

TensorError tensor_error(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  Sums sums;
  for (size_t i = 0; i < a.size(); ++i) sums.add(a[i], b[i]);
  return sums.finish();
}

std::vector<TensorError> frame_errors(const Tensor& a, const Tensor& b) {
  CHECK(a.shape().size() == 4 && a.shape() == b.shape());
  const auto plane = static_cast<size_t>(a.dim(2) * a.dim(3)), frames = static_cast<size_t>(a.dim(1));
  std::vector<TensorError> out;
  for (size_t t = 0; t < frames; ++t) {
    Sums sums;
    for (size_t c = 0; c < static_cast<size_t>(a.dim(0)); ++c) {
      const size_t begin = (c * frames + t) * plane;
      for (size_t i = begin; i < begin + plane; ++i) sums.add(a.as<float>()[i], b.as<float>()[i]);
    }
    out.push_back(sums.finish());
  }
  return out;
}

Tensor to_float(const Tensor& tensor, std::string_view where) {
  Tensor out(DType::kF32, tensor.shape());
  const std::span<float> dst = out.as<float>();
  const auto plain = [](auto x) { return static_cast<float>(x); };
  switch (tensor.dtype()) {
    case DType::kF32:
      convert<float>(tensor, dst, plain);
      break;
    case DType::kF64:
      convert<double>(tensor, dst, plain);
      break;
    case DType::kBF16:
      convert<uint16_t>(tensor, dst, bf16_to_float);
      break;
    case DType::kF16:
      convert<uint16_t>(tensor, dst, f16_to_float);
      break;
    case DType::kI8:
      convert<int8_t>(tensor, dst, plain);
      break;
    case DType::kU8:
      convert<uint8_t>(tensor, dst, plain);
      break;
    case DType::kI32:
      convert<int32_t>(tensor, dst, plain);
      break;
    case DType::kI64:
      convert<int64_t>(tensor, dst, plain);
      break;
    default:
      throw Error({.what = fmt::format("tensors of type {} cannot be compared", name_of(tensor.dtype())),
                   .where = std::string(where)});
  }
  return out;
}

}  // namespace wanslim
