// SPDX-License-Identifier: Apache-2.0
// A dense row-major tensor that owns its bytes (64-byte aligned). Plain data: move it, or copy it with
// clone().
#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace wanslim {

struct BlockDeleter {
  size_t capacity = 0;
  void operator()(std::byte* data) const;
};

// Uninitialised memory, at least 64-byte aligned. Large blocks come from buffer_pool.h.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte[], BlockDeleter> data_;
  size_t size_ = 0;
};

class Tensor {
 public:
  Tensor() = default;  // absent: empty() is true
  Tensor(DType dtype, Shape shape);
  Tensor clone() const;

  bool empty() const { return !present_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return count_; }
  int64_t dim(size_t axis) const { return shape_[axis]; }
  size_t bytes() const { return static_cast<size_t>(count_) * size_of(dtype_); }

  std::span<std::byte> raw() { return {buffer_.data(), bytes()}; }
  std::span<const std::byte> raw() const { return {buffer_.data(), bytes()}; }

  // Elements as T; CHECKs that T is as wide as the dtype.
  template <class T>
  std::span<T> as() {
    CHECK(sizeof(T) == size_of(dtype_));
    return {reinterpret_cast<T*>(buffer_.data()), static_cast<size_t>(count_)};
  }
  template <class T>
  std::span<const T> as() const {
    CHECK(sizeof(T) == size_of(dtype_));
    return {reinterpret_cast<const T*>(buffer_.data()), static_cast<size_t>(count_)};
  }

 private:
  bool present_ = false;
  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t count_ = 0;
  Buffer buffer_;
};

}  // namespace wanslim
