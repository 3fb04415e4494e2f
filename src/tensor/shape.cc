// SPDX-License-Identifier: Apache-2.0
#include "tensor/shape.h"

#include <fmt/ranges.h>

#include "base/error.h"

namespace wanslim {

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, extent, &count)) {
      throw Error({.what = "the shape " + to_string(shape) + " is not possible"});
    }
  }
  return count;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace wanslim
