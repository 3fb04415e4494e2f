// SPDX-License-Identifier: Apache-2.0
// What this machine's arithmetic can do at most: the ceilings that a benchmark holds kernels against.
#pragma once
#include "kernels/gemm.h"

namespace wanslim {

// Operations a second (a multiply-add is 2) of all threads together, the best of a few rounds of some
// milliseconds; `effort` makes them longer or shorter.

// Float multiply-adds between registers, nothing else.
double register_rate_f32(double effort = 1);

// The innermost loop of gemm with a strip and a panel that stay in the first cache.
double micro_kernel_rate(GemmType type, double effort = 1);

// Bytes a second of a copy between buffers that fit no cache, read and written ones counted.
double memory_rate(double effort = 1);

}  // namespace wanslim
