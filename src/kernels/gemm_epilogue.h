// SPDX-License-Identifier: Apache-2.0
// Internal to kernels: brings a finished tile of sums to its place (Epilogue in gemm.h).
#pragma once
#include <cstdint>

#include "kernels/gemm.h"

namespace wanslim {

// `tile`: rows x 32 sums, dense; float, or int32 if `whole`. Its first element is output [row, column] of `n`
// columns; of a last panel only n - column columns count.
struct TilePlace {
  int64_t row = 0, rows = 0, column = 0, n = 0;
};
void run_epilogue(const Epilogue& epilogue, const void* tile, bool whole, const TilePlace& place);

}  // namespace wanslim
