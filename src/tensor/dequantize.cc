// SPDX-License-Identifier: Apache-2.0
#include "tensor/dequantize.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "tensor/ggml_blocks.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

std::vector<float> floats_of(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  read_floats(tensor, 0, values);
  return values;
}

// The scale of column `column` of `row`, in float.
float scale_at(const QuantizedLinear& q, int64_t row, int64_t column, int64_t in) {
  const int64_t per_row = q.scale.count() / std::max<int64_t>(1, out_features(q));
  const int64_t group = per_row > 0 ? in / per_row : in;
  const size_t at = static_cast<size_t>(row * per_row + column / std::max<int64_t>(1, group));
  switch (q.scale.dtype()) {
    case DType::kU8: {
      float scale = std::ldexp(1.0f, q.scale.as<uint8_t>()[at] - 127);
      if (!q.dual_scale.empty()) {
        const int64_t dual = q.dual_scale.count() / out_features(q);
        scale *= q.dual_scale.as<float>()[static_cast<size_t>(row * dual + column / (in / dual))];
      }
      return scale;
    }
    case DType::kF8E4M3:
      return e4m3_to_float(q.scale.as<uint8_t>()[at]) * q.dual_scale.as<float>()[0];
    default:
      return q.scale.count() == 1 ? q.scale.as<float>()[0] : q.scale.as<float>()[at];
  }
}

// Columns in a row that have one scale.
int64_t scale_width(const QuantizedLinear& q, int64_t in) {
  int64_t width = in;
  for (const Tensor* scale : {&q.scale, &q.dual_scale}) {
    const int64_t per_row = scale->empty() ? 0 : scale->count() / out_features(q);
    if (per_row > 0) width = std::gcd(width, std::max<int64_t>(1, in / per_row));
  }
  return std::max<int64_t>(1, width);
}

void read_codes(const QuantizedLinear& q, int64_t row, std::span<float> values) {
  const size_t start = static_cast<size_t>(row) * values.size();
  const std::span<const std::byte> bytes = q.weight.raw();
  const auto* codes = reinterpret_cast<const uint8_t*>(bytes.data());
  switch (q.weight.dtype()) {
    case DType::kI8:
      for (size_t c = 0; c < values.size(); ++c) values[c] = static_cast<int8_t>(codes[start + c]);
      return;
    case DType::kF8E4M3:
      for (size_t c = 0; c < values.size(); ++c) values[c] = e4m3_to_float(codes[start + c]);
      return;
    default:
      CHECK(size_of(q.weight.dtype()) == 1);
      for (size_t c = 0; c < values.size(); ++c) {
        const size_t at = start + c;
        values[c] = kFp4Values[codes[at / 2] >> (at % 2 * 4) & 15];
      }
  }
}

void decode_ggml_row(const QuantizedLinear& q, int64_t row, std::span<float> values) {
  const GgmlBlock block = ggml_block(q.scheme.weight);
  const size_t bytes = static_cast<size_t>(block.bytes), elements = static_cast<size_t>(block.elements);
  const size_t row_bytes = static_cast<size_t>(q.weight.dim(1));
  for (size_t b = 0; b * elements < values.size(); ++b) {
    decode_ggml_block(q.scheme.weight,
                      q.weight.as<uint8_t>().subspan(static_cast<size_t>(row) * row_bytes + b * bytes, bytes),
                      values.subspan(b * elements, elements));
  }
}

// Row k of H4 is all ones but for one -1, at 3 - k.
void rotate_four(double* v, size_t stride) {
  const double v0 = v[0], v1 = v[stride], v2 = v[2 * stride], v3 = v[3 * stride];
  const double half = (v0 + v1 + v2 + v3) / 2;
  v[0] = half - v3, v[stride] = half - v2, v[2 * stride] = half - v1, v[3 * stride] = half - v0;
}

void add_low_rank(const QuantizedLinear& q, std::span<float> weight) {
  const size_t in = static_cast<size_t>(in_features(q)), rank = static_cast<size_t>(q.lora_down.dim(0));
  const std::vector<float> down = floats_of(q.lora_down), up = floats_of(q.lora_up);
  for (size_t i = 0; i < weight.size(); ++i) {
    double sum = 0;
    for (size_t k = 0; k < rank; ++k) {
      sum += static_cast<double>(up[i / in * rank + k]) * static_cast<double>(down[k * in + i % in]);
    }
    weight[i] = static_cast<float>(static_cast<double>(weight[i]) + sum);
  }
}

}  // namespace

void read_floats(const Tensor& tensor, size_t first, std::span<float> values) {
  CHECK(first + values.size() <= static_cast<size_t>(tensor.count()));
  const size_t size = values.size();
  switch (tensor.dtype()) {
    case DType::kF32:
      std::copy_n(tensor.as<float>().begin() + static_cast<ptrdiff_t>(first), size, values.begin());
      return;
    case DType::kBF16: {
      const uint16_t* const bits = tensor.as<uint16_t>().data() + first;
      for (size_t i = 0; i < size; ++i) values[i] = bf16_to_float(bits[i]);
      return;
    }
    case DType::kF16: {
      const uint16_t* const bits = tensor.as<uint16_t>().data() + first;
      for (size_t i = 0; i < size; ++i) values[i] = f16_to_float(bits[i]);
      return;
    }
    default:
      throw Error({.what = "expected a float tensor, got " + std::string(name_of(tensor.dtype()))});
  }
}

int64_t out_features(const QuantizedLinear& q) {
  return q.weight.dim(0);
}

int64_t in_features(const QuantizedLinear& q) {
  const GgmlBlock block = ggml_block(q.scheme.weight);
  if (block.elements > 0) return q.weight.dim(1) / block.bytes * block.elements;
  return q.weight.dtype() == DType::kU8 ? q.weight.dim(1) * 2 : q.weight.dim(1);
}

void dequantize_row(const QuantizedLinear& q, int64_t row, std::span<float> values) {
  const int64_t in = in_features(q);
  CHECK(values.size() == static_cast<size_t>(in));
  if (is_ggml(q.scheme.weight)) return decode_ggml_row(q, row, values);
  read_codes(q, row, values);
  const int64_t width = scale_width(q, in);
  for (int64_t first = 0; first < in; first += width) {
    const float scale = scale_at(q, row, first, in);
    for (float& value : values.subspan(static_cast<size_t>(first), static_cast<size_t>(width)))
      value *= scale;
  }
}

Tensor dequantize_codes(const QuantizedLinear& q) {
  Tensor result(DType::kF32, {out_features(q), in_features(q)});
  const size_t in = static_cast<size_t>(in_features(q));
  for (int64_t r = 0; r < out_features(q); ++r) {
    dequantize_row(q, r, result.as<float>().subspan(static_cast<size_t>(r) * in, in));
  }
  return result;
}

Tensor dequantize(const QuantizedLinear& q) {
  Tensor result = dequantize_codes(q);
  const std::span<float> weight = result.as<float>();
  if (q.hadamard_group > 0) regular_hadamard(weight, q.hadamard_group);
  if (!q.smooth.empty()) {
    const std::vector<float> smooth = floats_of(q.smooth);
    for (size_t i = 0; i < weight.size(); ++i) weight[i] *= smooth[i % smooth.size()];
  }
  if (!q.lora_down.empty()) add_low_rank(q, weight);
  return result;
}

void regular_hadamard(std::span<float> values, int group) {
  const size_t size = static_cast<size_t>(group);
  CHECK(size > 0 && values.size() % size == 0);
  std::vector<double> work(size);
  for (size_t start = 0; start < values.size(); start += size) {
    for (size_t i = 0; i < size; ++i) work[i] = values[start + i];
    for (size_t stride = 1; stride < size; stride *= 4) {
      CHECK(size % (stride * 4) == 0);
      for (size_t first = 0; first < size; first += stride * 4) {
        double* const v = &work[first];
        for (size_t i = 0; i < stride; ++i) rotate_four(v + i, stride);
      }
    }
    for (size_t i = 0; i < size; ++i) values[start + i] = static_cast<float>(work[i]);
  }
}

}  // namespace wanslim
