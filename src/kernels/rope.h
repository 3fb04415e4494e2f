// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding over a grid of tokens (Su et al., arXiv 2104.09864; three axes as in Wan2.1, spec
// wan-forward A3.3): adjacent pairs (2i, 2i+1) of a head turn by position * frequency. Of the c = head_dim /
// 2 pairs the first c - 2 (c / 3) follow the frame, the next c / 3 the row, the last c / 3 the column.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace wanslim {

struct RopeGrid {
  int64_t head_dim = 0;
  std::array<int64_t, 3> extent = {};                         // frames, rows, columns of tokens
  std::array<int64_t, 3> pairs = {};                          // of each axis
  std::array<std::vector<double>, 3> cosine = {}, sine = {};  // [position, pair of the axis]

  int64_t tokens() const { return extent[0] * extent[1] * extent[2]; }
  // cos and sin of all head_dim / 2 pairs of a token, in the order (frame, row, column) row-major.
  void angles(int64_t token, double* cosines, double* sines) const;
};

// theta 10000; frequency i of an axis with n pairs is theta^(-i / n). head_dim is even.
RopeGrid make_rope(int64_t head_dim, int64_t frames, int64_t rows, int64_t columns);

// Turns one row of `heads` heads in place; computed in double, result float.
void rotate_row(float* row, int64_t heads, int64_t head_dim, const double* cosines, const double* sines);

// cos (first half) then sin of position * 10000^(-i / (width/2)), computed in double: the time embedding.
std::vector<float> sinusoid(double position, int64_t width);

}  // namespace wanslim
