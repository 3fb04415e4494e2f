// SPDX-License-Identifier: Apache-2.0
#include "kernels/scratch.h"

#include "tensor/tensor.h"

namespace wanslim {

std::byte* thread_scratch(size_t bytes) {
  thread_local Buffer buffer;
  if (buffer.size() < bytes) {
    buffer = Buffer();  // frees the old one first
    buffer = Buffer(bytes);
  }
  return buffer.data();
}

}  // namespace wanslim
