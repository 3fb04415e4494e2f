// SPDX-License-Identifier: Apache-2.0
// Internal to kernels: the transforms of F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308), which turn a 3x3
// convolution of stride 1 into 16 matrix products with 4 multiplications per output in place of 9.
//
// A picture is [height, width, channels], the channels a multiple of 16, with one pixel of zeros around it.
// Tile number t stands for the 2x2 outputs at (2 (t / tiles_across), 2 (t % tiles_across)).
#pragma once
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace wanslim {

constexpr int64_t kWinogradPoints = 16;

struct WinogradTiles {
  int64_t height = 0, width = 0;  // of the picture
  int64_t begin = 0, count = 0;   // tiles to transform
  int64_t rows = 0;               // tiles that a plane of the transformed data has room for

  int64_t across() const { return (width + 1) / 2; }
  int64_t total() const { return (height + 1) / 2 * across(); }
};

// points[16]: weight of one output and one input channel, 3x3, row-major.
void winograd_weight(const float* weight, float* points);

// planes[point][rows][channels] of the tiles. Both of `dtype`, kF32 or kBF16; computed in float.
void winograd_input(const WinogradTiles& tiles, DType dtype, int64_t channels, const void* picture,
                    void* planes);

// The outputs of the tiles from sums[point][rows][stride], plus bias [channels], plus `add`, a picture as
// `out`, which it may be. Either may be null.
void winograd_output(const WinogradTiles& tiles, int64_t channels, const float* sums, int64_t stride,
                     const float* bias, const float* add, float* out);

}  // namespace wanslim
