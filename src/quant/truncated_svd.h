// SPDX-License-Identifier: Apache-2.0
// The leading part of the singular value decomposition by randomized subspace iteration (Halko, Martinsson,
// Tropp, arXiv 0909.4061, algorithms 4.4 and 5.1), in double. The start is fixed and every sum has a fixed
// order: the same bytes on every machine and for any number of threads.
#pragma once
#include "tensor/tensor.h"

namespace wanslim {

// matrix ~ up * down: up = U S, down = V^T, singular values falling.
struct LowRank {
  Tensor up;    // F32 [out, rank]
  Tensor down;  // F32 [rank, in]
};

// `matrix` is F32 [out, in], finite; 1 <= rank <= min(out, in). Holds two copies of the matrix meanwhile.
LowRank truncated_svd(const Tensor& matrix, int64_t rank);

}  // namespace wanslim
