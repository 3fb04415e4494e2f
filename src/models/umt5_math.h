// SPDX-License-Identifier: Apache-2.0
// The parts of umT5 between its Linears. In bf16 every single operation is rounded, as the official module
// does (spec A9.3).
#pragma once
#include <span>
#include <vector>

#include "nn/rows.h"

namespace wanslim {

// x += y, same shape.
void umt5_add(RowBuffer& x, const Rows& y);

// y *= gelu(gate), GELU in its tanh form taken apart: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
void umt5_gate(RowBuffer& y, const Rows& gate);

// softmax(q k^T + bias) v per head, without a factor before the softmax. q, k, v: [tokens, heads * head_dim];
// `bias`: [heads, 2 * tokens - 1] for key - query from 1 - tokens on. `out`: tokens rows at `first` of a
// buffer as wide as q.
void umt5_attention(const Rows& q, const Rows& k, const Rows& v, int64_t heads, std::span<const float> bias,
                    RowBuffer& out, int64_t first);

// First row with a value that is not finite, -1 if all are.
int64_t first_row_not_finite(const Rows& x);

}  // namespace wanslim
