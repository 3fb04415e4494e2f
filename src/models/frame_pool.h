// SPDX-License-Identifier: Apache-2.0
// Frames of features on their way through a model, and the pool that their memory comes from and returns to.
// Large ones that no layer needs any more make room for those of the next.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace wanslim {

// One owner at a time, used from one thread. Outlives its frames.
class FramePool {
 public:
  Buffer take(size_t bytes);
  void give(Buffer buffer);
  void clear();  // frees what is not in use
  size_t peak_bytes() const { return peak_; }

 private:
  std::multimap<size_t, Buffer> free_;
  size_t held_ = 0, idle_ = 0, peak_ = 0;
};

// [height, width, channels], channels innermost; kF32 or kBF16. Its memory goes back to the pool with it.
class Frame {
 public:
  Frame() = default;  // empty
  Frame(FramePool& pool, int64_t height, int64_t width, int64_t channels, DType dtype = DType::kF32);
  Frame(Frame&& other) noexcept { *this = std::move(other); }
  Frame& operator=(Frame&& other) noexcept;
  ~Frame() { release(); }

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t channels() const { return channels_; }
  DType dtype() const { return dtype_; }
  size_t count() const { return static_cast<size_t>(height_ * width_ * channels_); }
  size_t bytes() const { return count() * size_of(dtype_); }

  void* data() { return buffer_.data(); }
  const void* data() const { return buffer_.data(); }
  // kF32 only.
  std::span<float> values() {
    CHECK(dtype_ == DType::kF32);
    return {reinterpret_cast<float*>(buffer_.data()), count()};
  }
  std::span<const float> values() const {
    CHECK(dtype_ == DType::kF32);
    return {reinterpret_cast<const float*>(buffer_.data()), count()};
  }

 private:
  void release();

  FramePool* pool_ = nullptr;
  Buffer buffer_;
  int64_t height_ = 0, width_ = 0, channels_ = 0;
  DType dtype_ = DType::kF32;
};

using FrameList = std::vector<Frame>;

}  // namespace wanslim
