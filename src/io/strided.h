// SPDX-License-Identifier: Apache-2.0
// Views with strides, as .pth files store transposed and sliced tensors, made contiguous on reading.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/shape.h"

namespace wanslim {

// Elements from the first to the last that the view touches; 0 if it has none. Error if that does not fit 63
// bits. `strides` are in elements, as many as extents, not negative.
uint64_t strided_extent(const Shape& shape, const std::vector<int64_t>& strides);

// True if the elements follow each other in row-major order. Strides of extents of 1 mean nothing.
bool is_contiguous(const Shape& shape, const std::vector<int64_t>& strides);

// Writes elements first, first + 1, ... (row-major) of the view whose element 0 is at source[0]; `width`
// bytes each, as many as fit `out`.
void gather_strided(std::span<const std::byte> source, const Shape& shape,
                    const std::vector<int64_t>& strides, size_t width, uint64_t first,
                    std::span<std::byte> out);

}  // namespace wanslim
