// SPDX-License-Identifier: Apache-2.0
// Adding a low-rank product to a weight (LoRA, Hu et al., arXiv 2106.09685).
#pragma once
#include <cstdint>

namespace wanslim {

// weight[o, i] += scale * sum over r of up[o, r] * down[r, i]; weight [out, in], up [out, rank], down [rank,
// in], dense. The sum runs from r = 0 up with every product and sum rounded: the same bits on every SIMD
// target and for any number of threads.
void add_low_rank(float* weight, int64_t out, int64_t in, const float* up, const float* down, int64_t rank,
                  float scale);

}  // namespace wanslim
