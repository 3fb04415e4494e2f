// SPDX-License-Identifier: Apache-2.0
// Activations: dense matrices of float or bf16, one row per token. A run computes in one of two ways:
//   kF32   everything in float
//   kBF16  the mixed precision of the official pipeline: rows between layers are bf16, sums float
#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace wanslim {

enum class Compute : uint8_t { kF32, kBF16 };

inline DType dtype_of(Compute compute) {
  return compute == Compute::kF32 ? DType::kF32 : DType::kBF16;
}

// A view of rows that somebody else owns.
struct Rows {
  DType dtype = DType::kF32;  // kF32 or kBF16
  const void* data = nullptr;
  int64_t count = 0, width = 0;

  const float* f32() const {
    CHECK(dtype == DType::kF32);
    return static_cast<const float*>(data);
  }
  const uint16_t* bf16() const {
    CHECK(dtype == DType::kBF16);
    return static_cast<const uint16_t*>(data);
  }
  Rows slice(int64_t first, int64_t rows) const;
};

// Owns rows; keeps its memory when resized to no more than it once held.
class RowBuffer {
 public:
  RowBuffer() = default;
  RowBuffer(DType dtype, int64_t count, int64_t width) { resize(dtype, count, width); }
  void resize(DType dtype, int64_t count, int64_t width);  // content undefined
  void release() { *this = RowBuffer(); }

  Rows view() const { return {dtype_, buffer_.data(), count_, width_}; }
  // A buffer stands for its rows wherever rows are read or written.
  operator Rows() const { return view(); }  // NOLINT(google-explicit-constructor)
  int64_t count() const { return count_; }
  int64_t width() const { return width_; }
  DType dtype() const { return dtype_; }
  void* data() { return buffer_.data(); }
  float* f32() {
    CHECK(dtype_ == DType::kF32);
    return reinterpret_cast<float*>(buffer_.data());
  }
  uint16_t* bf16() {
    CHECK(dtype_ == DType::kBF16);
    return reinterpret_cast<uint16_t*>(buffer_.data());
  }
  size_t capacity() const { return buffer_.size(); }

 private:
  DType dtype_ = DType::kF32;
  int64_t count_ = 0, width_ = 0;
  Buffer buffer_;
};

// Converts between float and bf16 (round to nearest even); same shape.
void convert_rows(const Rows& source, RowBuffer& target, DType dtype);

// Any float tensor as float.
Tensor to_f32(const Tensor& tensor);

}  // namespace wanslim
