// SPDX-License-Identifier: Apache-2.0
// Multi-head attention over rows in the dtype of the compute mode, scaled by 1 / sqrt(head_dim).
#pragma once
#include "kernels/attention.h"
#include "nn/rows.h"

namespace wanslim {

// Keys and values [n, heads * head_dim] of one dtype. The last of them may stand for `last_count` equal ones.
PackedKeys make_keys(const Rows& k, const Rows& v, int64_t heads, int64_t last_count = 1);

// q becomes the result, row by row.
void attend(RowBuffer& q, const PackedKeys& keys);

}  // namespace wanslim
