// SPDX-License-Identifier: Apache-2.0
// The norm of the Wan VAE (RMS_norm of its official code, spec A5) over the channels of each pixel, with the
// SiLU that follows it nearly everywhere.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace wanslim {

// y = silu(x / max(|x|, 1e-12) * sqrt(channels) * gamma) for every pixel of `pixels` [count, gamma.size()],
// |x| the length of the pixel's vector; without `silu` the argument itself. `out` of `dtype` kF32 or kBF16
// (rounded to nearest) may be the input if it is kF32. Same bits for any number of threads. False if a pixel
// holds a value that is not finite (or whose square is not); the pixel's outputs are then of no meaning.
bool channel_norm(std::span<const float> pixels, std::span<const float> gamma, bool silu, DType dtype,
                  void* out);

}  // namespace wanslim
