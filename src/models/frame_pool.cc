// SPDX-License-Identifier: Apache-2.0
#include "models/frame_pool.h"

#include <algorithm>
#include <utility>

namespace wanslim {
namespace {

// What may wait for reuse while memory of another size is taken.
constexpr size_t kMostIdle = size_t{128} << 20;

}  // namespace

Buffer FramePool::take(size_t bytes) {
  if (const auto it = free_.find(bytes); it != free_.end()) {
    Buffer buffer = std::move(it->second);
    free_.erase(it);
    idle_ -= bytes;
    return buffer;
  }
  if (idle_ > kMostIdle) clear();
  held_ += bytes;
  peak_ = std::max(peak_, held_);
  return Buffer(bytes);
}

void FramePool::give(Buffer buffer) {
  const size_t bytes = buffer.size();
  free_.emplace(bytes, std::move(buffer));
  idle_ += bytes;
}

void FramePool::clear() {
  for (const auto& [bytes, buffer] : free_) held_ -= bytes;
  free_.clear();
  idle_ = 0;
}

Frame::Frame(FramePool& pool, int64_t height, int64_t width, int64_t channels, DType dtype)
    : pool_(&pool), height_(height), width_(width), channels_(channels), dtype_(dtype) {
  buffer_ = pool.take(bytes());
}

Frame& Frame::operator=(Frame&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  buffer_ = std::move(other.buffer_);
  height_ = other.height_;
  width_ = other.width_;
  channels_ = other.channels_;
  dtype_ = other.dtype_;
  return *this;
}

void Frame::release() {
  if (pool_ != nullptr) pool_->give(std::move(buffer_));
  pool_ = nullptr;
}

}  // namespace wanslim
