// SPDX-License-Identifier: Apache-2.0
// Fits of affine codes to short runs of weights, 16 runs at a time: value = scale * code - offset, code an
// integer in [low, high]. One run is one SIMD lane, so sums need no fixed order and every target gives the
// same bits.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/round.h"

namespace wanslim {

// 16 runs of `count` (at most 32) values: values[i * 16 + run].
struct RunTile {
  static constexpr size_t kRuns = 16, kMaxCount = 32;
  size_t count = 0;
  alignas(64) std::array<float, kRuns* kMaxCount> values = {};
};
struct alignas(64) RunFloats : std::array<float, RunTile::kRuns> {};

// Fills the tile from 16 consecutive runs.
void load_tile(std::span<const float> runs, RunTile& tile);

// Least squares under code = clamp(rne(.)): starts from `steps` divisions of the run's range into a little
// less to a little more than high - low steps, refits scale and offset to the codes of each, and keeps the
// best. Codes in [0, high]; scale >= 0, offset >= 0.
void fit_affine(const RunTile& tile, int high, int steps, RunFloats& scale, RunFloats& offset);
// The same without offset; the scale may be negative, which turns an uneven range around.
void fit_symmetric(const RunTile& tile, CodeRange range, int steps, RunFloats& scale);

// error[k] = sum of (scale * code - offset - x)^2 over run k, code = clamp(rne((x + offset) * (1 / scale))),
// 0 for scale 0.
void tile_errors(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                 RunFloats& error);
// Those codes minus range.low, run after run: codes[run * count + i].
void tile_codes(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                std::span<uint8_t> codes);

// codes[i] = row[i] * inverse[i / 32] rounded to nearest, half away from zero; |codes| <= 127 is the
// caller's.
void round_away_blocks(std::span<const float> row, std::span<const float> inverse, std::span<int8_t> codes);

}  // namespace wanslim
