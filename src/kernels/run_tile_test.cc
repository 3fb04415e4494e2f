// SPDX-License-Identifier: Apache-2.0
#include "kernels/run_tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/each_target.h"
#include "kernels/reference_run_tile.h"

namespace wanslim {
namespace {

// Runs of every kind: spread about zero, all positive, all negative, zeros, one outlier, a constant.
RunTile tile_of(size_t count) {
  std::mt19937 random(31);
  std::vector<float> runs(count * RunTile::kRuns);
  for (size_t i = 0; i < runs.size(); ++i) {
    const float x = static_cast<float>(random() / 2147483648.0 - 1);
    switch (i / count % 6) {
      case 0:
        runs[i] = x;
        break;
      case 1:
        runs[i] = 0.2f + std::fabs(x);
        break;
      case 2:
        runs[i] = -3 - x;
        break;
      case 3:
        runs[i] = 0;
        break;
      case 4:
        runs[i] = i % count == 3 ? -40 : x;
        break;
      default:
        runs[i] = 0.7f;
    }
  }
  RunTile tile;
  load_tile(runs, tile);
  EXPECT_EQ(tile.values[RunTile::kRuns * (count - 1) + 1], runs[2 * count - 1]);
  return tile;
}

TEST(RunTile, FitsHaveTheSameBitsOnEveryTarget) {
  for (size_t count : {1u, 2u, 16u, 31u, 32u}) {
    const RunTile tile = tile_of(count);
    for (CodeRange range : {CodeRange{0, 15}, CodeRange{0, 3}, CodeRange{-8, 7}, CodeRange{-32, 31}}) {
      RunFloats scale, offset, error, expected_scale, expected_offset, expected_error;
      expected_offset.fill(0);
      if (range.low == 0) {
        reference::fit_affine(tile, range.high, 9, expected_scale, expected_offset);
      } else {
        reference::fit_symmetric(tile, range, 9, expected_scale);
      }
      reference::tile_errors(tile, range, expected_scale, expected_offset, expected_error);
      std::vector<uint8_t> codes(count * RunTile::kRuns), expected_codes(codes.size());
      reference::tile_codes(tile, range, expected_scale, expected_offset, expected_codes);
      each_target([&] {
        offset.fill(0);
        if (range.low == 0) {
          fit_affine(tile, range.high, 9, scale, offset);
        } else {
          fit_symmetric(tile, range, 9, scale);
        }
        EXPECT_EQ(scale, expected_scale) << count;
        EXPECT_EQ(offset, expected_offset) << count;
        tile_errors(tile, range, scale, offset, error);
        EXPECT_EQ(error, expected_error);
        tile_codes(tile, range, scale, offset, codes);
        EXPECT_EQ(codes, expected_codes);
      });
    }
  }
}

TEST(RunTile, ValuesOnAGridAreFittedExactly) {
  std::vector<float> runs(32 * RunTile::kRuns);
  for (size_t i = 0; i < runs.size(); ++i) {
    runs[i] = 0.25f * static_cast<float>(i * 7 % 16) - 1.5f;  // every run has all codes 0..15
  }
  RunTile tile;
  load_tile(runs, tile);
  RunFloats scale, offset, error;
  fit_affine(tile, 15, 18, scale, offset);
  tile_errors(tile, {0, 15}, scale, offset, error);
  for (size_t k = 0; k < RunTile::kRuns; ++k) {
    EXPECT_NEAR(scale[k], 0.25f, 1e-6f);
    EXPECT_NEAR(offset[k], 1.5f, 1e-5f);
    EXPECT_LT(error[k], 1e-9f);
  }
}

TEST(RunTile, RoundAwayIsRoundf) {
  std::vector<float> row = {0.5f,   -0.5f,   1.5f, 2.5f,  -2.5f, 0.49999997f,
                            126.5f, -126.5f, 0.0f, -0.0f, 1e-30f};
  row.resize(96);
  for (size_t i = 32; i < row.size(); ++i) row[i] = static_cast<float>(i) * 0.37f - 20;
  const std::vector<float> inverse = {1, 3.1f, 0};
  std::vector<int8_t> codes(row.size()), expected(row.size());
  reference::round_away_blocks(row, inverse, expected);
  each_target([&] {
    round_away_blocks(row, inverse, codes);
    EXPECT_EQ(codes, expected);
  });
  EXPECT_EQ(expected[5], 0);
  EXPECT_EQ(expected[3], 3);
}

}  // namespace
}  // namespace wanslim
