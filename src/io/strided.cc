// SPDX-License-Identifier: Apache-2.0
#include "io/strided.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace wanslim {

uint64_t strided_extent(const Shape& shape, const std::vector<int64_t>& strides) {
  CHECK(shape.size() == strides.size());
  if (std::count(shape.begin(), shape.end(), 0) > 0) return 0;
  uint64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    uint64_t step = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(shape[i] - 1), static_cast<uint64_t>(strides[i]),
                               &step) ||
        __builtin_add_overflow(last, step, &last) || last >= uint64_t{INT64_MAX}) {
      throw Error({.what = fmt::format("shape {} with strides {} is not possible", to_string(shape),
                                       to_string(strides))});
    }
  }
  return last + 1;
}

bool is_contiguous(const Shape& shape, const std::vector<int64_t>& strides) {
  if (std::count(shape.begin(), shape.end(), 0) > 0) return true;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

void gather_strided(std::span<const std::byte> source, const Shape& shape,
                    const std::vector<int64_t>& strides, size_t width, uint64_t first,
                    std::span<std::byte> out) {
  CHECK(out.size() % width == 0);
  if (out.empty()) return;
  // Position of `first` in every dimension, then count up like an odometer.
  std::vector<int64_t> position(shape.size());
  uint64_t at = 0;
  for (size_t i = shape.size(); i-- > 0;) {
    const auto extent = static_cast<uint64_t>(shape[i]);
    position[i] = static_cast<int64_t>(first % extent);
    first /= extent;
    at += static_cast<uint64_t>(position[i] * strides[i]);
  }
  CHECK(first == 0);
  for (size_t done = 0; done < out.size(); done += width) {
    CHECK((at + 1) * width <= source.size());
    std::memcpy(out.data() + done, source.data() + at * width, width);
    for (size_t i = shape.size(); i-- > 0;) {
      at += static_cast<uint64_t>(strides[i]);
      if (++position[i] < shape[i]) break;
      at -= static_cast<uint64_t>(strides[i] * shape[i]);
      position[i] = 0;
    }
  }
}

}  // namespace wanslim
