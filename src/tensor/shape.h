// SPDX-License-Identifier: Apache-2.0
// Extents of a row-major tensor, outermost first; weights are [out, in].
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace wanslim {

using Shape = std::vector<int64_t>;

// Number of elements; Error if an extent is negative or the product does not fit 63 bits.
int64_t element_count(const Shape& shape);

std::string to_string(const Shape& shape);  // "[1536, 8960]"

}  // namespace wanslim
