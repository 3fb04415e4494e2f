// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <cstring>

#include "tensor/buffer_pool.h"

namespace wanslim {

Buffer::Buffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const Block block = take_block(bytes);
  data_ = std::unique_ptr<std::byte[], BlockDeleter>(block.data, BlockDeleter{block.capacity});
}

void BlockDeleter::operator()(std::byte* data) const {
  give_block({data, capacity});
}

Tensor::Tensor(DType dtype, Shape shape)
    : present_(true),
      dtype_(dtype),
      shape_(std::move(shape)),
      count_(element_count(shape_)),
      buffer_(bytes()) {}

Tensor Tensor::clone() const {
  if (empty()) return {};
  Tensor copy(dtype_, shape_);
  if (bytes() > 0) std::memcpy(copy.raw().data(), raw().data(), bytes());
  return copy;
}

}  // namespace wanslim
