// SPDX-License-Identifier: Apache-2.0
// A float matrix times a few vectors in double, for subspace iteration.
#pragma once
#include <cstddef>
#include <cstdint>

namespace wanslim {

inline constexpr size_t kSkinnyLanes = 8;  // vectors that stand side by side

// out[r, g, k] = sum over c of matrix[r, c] * vectors[g, c, k], k below kSkinnyLanes; all dense. The sum runs
// from c = 0 up with every product and sum rounded: the same bits on every SIMD target and for any number of
// threads.
void skinny_product(const float* matrix, int64_t rows, int64_t columns, const double* vectors, int64_t groups,
                    double* out);

}  // namespace wanslim
