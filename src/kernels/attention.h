// SPDX-License-Identifier: Apache-2.0
// Softmax attention without the matrix of scores (Dao et al., FlashAttention, arXiv 2205.14135): per head
//   out[i] = sum_j softmax_j(scale * q[i] . k[j]) v[j].
//
//   PackedKeys kv = pack_keys_bf16(k, v, keys, heads, head_dim);   // once
//   attention_bf16(q, queries, kv, scale, out);                    // for any number of queries
//
// Tensors are [rows, heads * head_dim], row-major. Scores, softmax and sums are float; in the bf16 form q, k,
// v, the weights of v and the result are bf16. Same bits for any thread count and any cut of the queries.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/gemm.h"

namespace wanslim {

// Keys and values in the order in which the loops read them (panels as in gemm.h, head by head).
struct PackedKeys {
  GemmType type = GemmType::kF32;  // kF32 or kBF16
  int64_t heads = 0, head_dim = 0, keys = 0;
  int64_t last_count = 1;  // the last key stands for this many equal ones: its softmax weight counts so often
  Buffer k = {}, v = {};

  size_t bytes() const { return k.size() + v.size(); }
};

PackedKeys pack_keys_f32(std::span<const float> k, std::span<const float> v, int64_t keys, int64_t heads,
                         int64_t head_dim);
PackedKeys pack_keys_bf16(std::span<const uint16_t> k, std::span<const uint16_t> v, int64_t keys,
                          int64_t heads, int64_t head_dim);

void attention_f32(const float* q, int64_t queries, const PackedKeys& kv, float scale, float* out);
void attention_bf16(const uint16_t* q, int64_t queries, const PackedKeys& kv, float scale, uint16_t* out);

}  // namespace wanslim
