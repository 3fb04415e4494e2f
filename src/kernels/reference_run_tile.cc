// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference_run_tile.h"

#include <algorithm>
#include <cmath>

namespace wanslim::reference {
namespace {

float at(const RunTile& tile, size_t run, size_t i) {
  return tile.values[i * RunTile::kRuns + run];
}

float inverse_or_zero(float x) {
  return x == 0 ? 0.0f : 1.0f / x;
}

float nearest(float y, CodeRange range) {
  return std::nearbyint(std::clamp(y, static_cast<float>(range.low), static_cast<float>(range.high)));
}

struct CodeSums {
  float q = 0, qq = 0, xq = 0;
};
CodeSums code_sums(const RunTile& tile, size_t run, float base, float inverse, CodeRange range) {
  CodeSums s;
  for (size_t i = 0; i < tile.count; ++i) {
    const float x = at(tile, run, i), code = nearest((x - base) * inverse, range);
    s.q += code;
    s.qq += code * code;
    s.xq += x * code;
  }
  return s;
}

}  // namespace

void fit_affine(const RunTile& tile, int high, int steps, RunFloats& scale_out, RunFloats& offset_out) {
  const float n = static_cast<float>(tile.count);
  for (size_t run = 0; run < RunTile::kRuns; ++run) {
    float least = at(tile, run, 0), largest = least, sum = 0;
    for (size_t i = 0; i < tile.count; ++i) {
      least = std::min(least, at(tile, run, i)), largest = std::max(largest, at(tile, run, i));
      sum += at(tile, run, i);
    }
    least = std::min(least, 0.0f);
    float best = 0;
    scale_out[run] = offset_out[run] = 0;
    for (int step = 0; step < steps; ++step) {
      const float parts =
          static_cast<float>(high) - 1.2f + 2.4f * static_cast<float>(step) / static_cast<float>(steps);
      const CodeSums s = code_sums(tile, run, least, inverse_or_zero(largest - least) * parts, {0, high});
      float scale = (n * s.xq - sum * s.q) * inverse_or_zero(n * s.qq - s.q * s.q);
      float offset = (scale * s.q - sum) * (1.0f / n);
      if (offset < 0 || scale < 0) {
        scale = std::max(s.xq * inverse_or_zero(s.qq), 0.0f);
        offset = 0;
      }
      float gain = scale * s.xq - offset * sum;
      gain = (gain + gain) + scale * offset * (s.q + s.q);
      gain = gain - (scale * scale * s.qq + n * (offset * offset));
      if (gain > best) best = gain, scale_out[run] = scale, offset_out[run] = offset;
    }
  }
}

void fit_symmetric(const RunTile& tile, CodeRange range, int steps, RunFloats& scale_out) {
  for (size_t run = 0; run < RunTile::kRuns; ++run) {
    float largest = 0, best = 0;
    for (size_t i = 0; i < tile.count; ++i) largest = std::max(largest, std::fabs(at(tile, run, i)));
    scale_out[run] = 0;
    for (int step = 0; step < steps; ++step) {
      const float parts =
          static_cast<float>(range.high) - 0.4f + 1.9f * static_cast<float>(step) / static_cast<float>(steps);
      for (float sign : {1.0f, -1.0f}) {
        const CodeSums s = code_sums(tile, run, 0, inverse_or_zero(largest) * (parts * sign), range);
        const float scale = s.xq * inverse_or_zero(s.qq);
        if (scale * s.xq > best) best = scale * s.xq, scale_out[run] = scale;
      }
    }
  }
}

void tile_errors(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                 RunFloats& error) {
  for (size_t run = 0; run < RunTile::kRuns; ++run) {
    error[run] = 0;
    for (size_t i = 0; i < tile.count; ++i) {
      const float shifted = at(tile, run, i) + offset[run];
      const float e = scale[run] * nearest(shifted * inverse_or_zero(scale[run]), range) - shifted;
      error[run] += e * e;
    }
  }
}

void tile_codes(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                std::span<uint8_t> codes) {
  for (size_t run = 0; run < RunTile::kRuns; ++run) {
    for (size_t i = 0; i < tile.count; ++i) {
      const float y = (at(tile, run, i) + offset[run]) * inverse_or_zero(scale[run]);
      codes[run * tile.count + i] = static_cast<uint8_t>(static_cast<int>(nearest(y, range)) - range.low);
    }
  }
}

void round_away_blocks(std::span<const float> row, std::span<const float> inverse, std::span<int8_t> codes) {
  for (size_t i = 0; i < row.size(); ++i)
    codes[i] = static_cast<int8_t>(std::round(row[i] * inverse[i / 32]));
}

}  // namespace wanslim::reference
