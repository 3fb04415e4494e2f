// SPDX-License-Identifier: Apache-2.0
// Plain-loop twins of run_tile.h.
#pragma once
#include "kernels/run_tile.h"

namespace wanslim::reference {

void fit_affine(const RunTile& tile, int high, int steps, RunFloats& scale, RunFloats& offset);
void fit_symmetric(const RunTile& tile, CodeRange range, int steps, RunFloats& scale);
void tile_errors(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                 RunFloats& error);
void tile_codes(const RunTile& tile, CodeRange range, const RunFloats& scale, const RunFloats& offset,
                std::span<uint8_t> codes);
void round_away_blocks(std::span<const float> row, std::span<const float> inverse, std::span<int8_t> codes);

}  // namespace wanslim::reference
