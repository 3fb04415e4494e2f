// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/portable_math.h"

namespace wanslim {
namespace {

// 10000^(-numerator / denominator).
double frequency(int64_t numerator, int64_t denominator) {
  static const double kLogTheta = portable_log(10000.0);
  return portable_exp(-static_cast<double>(numerator) / static_cast<double>(denominator) * kLogTheta);
}

}  // namespace

RopeGrid make_rope(int64_t head_dim, int64_t frames, int64_t rows, int64_t columns) {
  CHECK(head_dim % 2 == 0);
  const int64_t all = head_dim / 2, third = all / 3;
  RopeGrid grid{
      .head_dim = head_dim, .extent = {frames, rows, columns}, .pairs = {all - 2 * third, third, third}};
  for (size_t axis = 0; axis < 3; ++axis) {
    for (int64_t position = 0; position < grid.extent[axis]; ++position) {
      for (int64_t i = 0; i < grid.pairs[axis]; ++i) {
        const SinCos turn = portable_sincos(static_cast<double>(position) * frequency(i, grid.pairs[axis]));
        grid.cosine[axis].push_back(turn.cos);
        grid.sine[axis].push_back(turn.sin);
      }
    }
  }
  return grid;
}

void RopeGrid::angles(int64_t token, double* cosines, double* sines) const {
  const int64_t positions[] = {token / (extent[1] * extent[2]), token / extent[2] % extent[1],
                               token % extent[2]};
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t at = positions[axis] * pairs[axis];
    cosines = std::copy_n(cosine[axis].begin() + at, pairs[axis], cosines);
    sines = std::copy_n(sine[axis].begin() + at, pairs[axis], sines);
  }
}

void rotate_row(float* row, int64_t heads, int64_t head_dim, const double* cosines, const double* sines) {
  for (int64_t head = 0; head < heads; ++head, row += head_dim) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const double real = row[2 * i], imaginary = row[2 * i + 1];
      row[2 * i] = static_cast<float>(real * cosines[i] - imaginary * sines[i]);
      row[2 * i + 1] = static_cast<float>(real * sines[i] + imaginary * cosines[i]);
    }
  }
}

std::vector<float> sinusoid(double position, int64_t width) {
  CHECK(width % 2 == 0);
  const int64_t half = width / 2;
  std::vector<float> values(static_cast<size_t>(width));
  for (int64_t i = 0; i < half; ++i) {
    const SinCos turn = portable_sincos(position * frequency(i, half));
    values[static_cast<size_t>(i)] = static_cast<float>(turn.cos);
    values[static_cast<size_t>(half + i)] = static_cast<float>(turn.sin);
  }
  return values;
}

}  // namespace wanslim
