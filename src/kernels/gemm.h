// SPDX-License-Identifier: Apache-2.0
// Matrix products with a weight: y = epilogue(a * weight^T), a [m, k], weight [n, k], y [m, n], row-major.
//
//   PackedWeight w = pack_bf16(bits, n, k);      // once
//   gemm_bf16(a, m, w, epilogue);                // any number of times, from one thread at a time
//
// Products of bf16 are exact and summed in float; those of s8 in int32, exact on every target while
// k <= 131,072. The order of the sums is fixed by k and the SIMD target, never by the number of threads, by m
// or by n, so results have the same bits for any thread count. Scratch memory belongs to the threads and is
// kept; nothing is allocated per call after the first.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/activation.h"
#include "tensor/tensor.h"

namespace wanslim {

enum class GemmType : uint8_t { kF32, kBF16, kS8 };

// Columns of a panel: the n of a packed weight is padded with zeros to a multiple of it.
constexpr int64_t kPanel = 32;

// A weight in the order in which the loops read it:
//   [panel of 32 outputs][group of g inputs][output of the panel][input of the group],
// g = 1, 2, 4 for f32, bf16, s8; k is padded with zeros to a multiple of 4.
struct PackedWeight {
  GemmType type = GemmType::kF32;
  int64_t n = 0, k = 0;
  Buffer data = {};
  Buffer start = {};  // s8: int32 per padded output, minus 128 times the sum of its codes

  bool empty() const { return n == 0; }
  size_t bytes() const { return data.size() + start.size(); }
};

PackedWeight pack_f32(std::span<const float> weight, int64_t n, int64_t k);
PackedWeight pack_bf16(std::span<const uint16_t> weight, int64_t n, int64_t k);
PackedWeight pack_s8(std::span<const int8_t> weight, int64_t n, int64_t k);

// The first two in parts, for a weight that is packed as it is read: a weight without content (kF32, kBF16),
// and rows [first, first + rows.size() / k) into it. `first` is a multiple of kPanel; so are all ends but the
// last. Each row once, by any thread.
PackedWeight blank_weight(GemmType type, int64_t n, int64_t k);
void pack_rows(std::span<const float> rows, int64_t first, PackedWeight& weight);
void pack_rows(std::span<const uint16_t> rows, int64_t first, PackedWeight& weight);

// What happens to a sum on its way out. With s = sum, or (sum + column_offset) * (row_scale * column_scale)
// where scales are given:
//   y = s + bias, rounded to bf16 if `round`; y = activation(y), rounded likewise;
//   then one of   bf16 = y      f32 = y      f32 += y * gate  (add; no gate: f32 += y).
struct Epilogue {
  const float* bias = nullptr;             // [n]
  const float* row_scale = nullptr;        // [m]; required for s8
  const float* column_scale = nullptr;     // [n]; required for s8
  const int32_t* column_offset = nullptr;  // [n], s8 only
  bool round = false;
  Activation activation = Activation::kNone;
  uint16_t* bf16 = nullptr;
  float* f32 = nullptr;
  bool add = false;
  const float* gate = nullptr;  // [n]
  int64_t stride = 0;           // elements between rows of the output; 0: n
};

// a is dense [m, k]. The weight may be f32 or bf16.
void gemm_f32(const float* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue);
// a holds bf16; the weight must be bf16.
void gemm_bf16(const uint16_t* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue);
// a holds codes -128..127; the weight must be s8.
void gemm_s8(const int8_t* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue);

}  // namespace wanslim
