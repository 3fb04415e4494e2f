// SPDX-License-Identifier: Apache-2.0
// Internal to kernels: brings the finished sums of a panel to their place (Epilogue in gemm.h).
#pragma once
#include <cstdint>

#include "kernels/gemm.h"

namespace wanslim {

// `sums`: rows x 32, dense, as the tiles of a panel lie one after the other; float, or int32 if `whole`. The
// first is output [row, column] of `n` columns; of a last panel only n - column columns count.
struct PanelPlace {
  int64_t row = 0, rows = 0, column = 0, n = 0;
};
void run_epilogue(const Epilogue& epilogue, const void* sums, bool whole, const PanelPlace& place);

}  // namespace wanslim
