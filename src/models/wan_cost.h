// SPDX-License-Identifier: Apache-2.0
// How much arithmetic a generation takes and how fast this machine is at it: for the plan that stands before
// hours of work. Counts: spec wan-forward A5, A9 (a multiply-add is 2).
#pragma once
#include <cstdint>

#include "config/wan_variants.h"
#include "nn/rows.h"

namespace wanslim {

struct WanCost {
  double linear = 0;     // of one forward, cross attention keys of the prompt left out: they are cached
  double attention = 0;  // of one forward
  double total() const { return linear + attention; }
};
WanCost forward_cost(const WanGeometry& geometry, int64_t tokens, int64_t text_rows);

// Of the VAE, by its width at full resolution (96 as published); `frames` of `pixels` each.
double vae_decode_cost(int64_t dim, int64_t frames, int64_t pixels);

// Floating-point operations a second of matrix products in this arithmetic, measured for a tenth of a second.
double measure_product_rate(Compute compute);

}  // namespace wanslim
