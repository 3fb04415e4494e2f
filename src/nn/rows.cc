// SPDX-License-Identifier: Apache-2.0
#include "nn/rows.h"

#include <cstring>

#include "base/threads.h"
#include "kernels/convert.h"

namespace wanslim {
namespace {

constexpr int64_t kGrain = 1 << 16;

}  // namespace

Rows Rows::slice(int64_t first, int64_t rows) const {
  CHECK(first >= 0 && first + rows <= count);
  const std::byte* start =
      static_cast<const std::byte*>(data) + static_cast<size_t>(first * width) * size_of(dtype);
  return {dtype, start, rows, width};
}

void RowBuffer::resize(DType dtype, int64_t count, int64_t width) {
  const size_t bytes = static_cast<size_t>(count * width) * size_of(dtype);
  if (buffer_.size() < bytes) {
    buffer_ = Buffer();  // frees the old one first
    buffer_ = Buffer(bytes);
  }
  dtype_ = dtype, count_ = count, width_ = width;
}

void convert_rows(const Rows& source, RowBuffer& target, DType dtype) {
  target.resize(dtype, source.count, source.width);
  const int64_t total = source.count * source.width;
  parallel_for(total, kGrain, [&](int64_t begin, int64_t end) {
    const size_t count = static_cast<size_t>(end - begin);
    if (source.dtype == DType::kF32 && dtype == DType::kBF16) {
      narrow_bf16({source.f32() + begin, count}, {target.bf16() + begin, count});
    } else if (source.dtype == DType::kBF16 && dtype == DType::kF32) {
      widen_bf16({source.bf16() + begin, count}, {target.f32() + begin, count});
    } else {
      const size_t size = size_of(dtype), first = static_cast<size_t>(begin) * size;
      std::memcpy(static_cast<std::byte*>(target.data()) + first,
                  static_cast<const std::byte*>(source.data) + first, count * size);
    }
  });
}

Tensor to_f32(const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return tensor.clone();
  CHECK(tensor.dtype() == DType::kBF16 || tensor.dtype() == DType::kF16);
  Tensor result(DType::kF32, tensor.shape());
  const auto source = tensor.as<uint16_t>();
  const auto target = result.as<float>();
  parallel_for(tensor.count(), kGrain, [&](int64_t begin, int64_t end) {
    const size_t first = static_cast<size_t>(begin), count = static_cast<size_t>(end - begin);
    if (tensor.dtype() == DType::kBF16) {
      widen_bf16(source.subspan(first, count), target.subspan(first, count));
    } else {
      widen_f16(source.subspan(first, count), target.subspan(first, count));
    }
  });
  return result;
}

}  // namespace wanslim
