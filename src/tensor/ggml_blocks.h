// SPDX-License-Identifier: Apache-2.0
// The block formats of GGUF files: sizes, and decoding of one block. Layouts as in the GGUF format
// description; a block covers consecutive inputs of one row. `f16` are little-endian halves.
//   Q8_0  f16 d | i8 q[32]                                         x = d q
//   Q4_0  f16 d | u4 q[32], low nibbles are the first 16            x = d (q - 8)
//   Q6_K  u4 low[256] | u2 high[256] | i8 s[16] | f16 d             x = d s (q - 32), 16 values a scale
//   Q5_K  f16 d, m | u6 s[8], u6 o[8] | u1 high[256] | u4 q[256]    x = d s q - m o, 32 values a scale
//   Q4_K  f16 d, m | u6 s[8], u6 o[8] | u4 q[256]                   x = d s q - m o, 32 values a scale
//   Q3_K  u1 high[256] | u2 low[256] | u6 s[16] | f16 d             x = d (s - 32) (q - 4), 16 values a scale
//   Q2_K  u4 s[16], u4 o[16] | u2 q[256] | f16 d, m                 x = d s q - m o, 16 values a scale
#pragma once
#include <cstdint>
#include <span>

#include "tensor/quantized.h"

namespace wanslim {

struct GgmlBlock {
  int64_t elements = 0, bytes = 0;
};

// {0, 0} if the encoding is not one of ggml's.
GgmlBlock ggml_block(Encoding encoding);
inline bool is_ggml(Encoding encoding) {
  return ggml_block(encoding).elements > 0;
}

// One block to its 32 or 256 values, in float arithmetic in the order of the formulas above.
void decode_ggml_block(Encoding encoding, std::span<const uint8_t> block, std::span<float> values);

// The eight 6-bit scales and offsets of a Q4_K or Q5_K block, packed into 12 bytes.
struct SixBitPairs {
  uint8_t scale[8] = {}, offset[8] = {};
};
SixBitPairs unpack_six_bit_pairs(std::span<const uint8_t, 12> packed);
void pack_six_bit_pairs(const SixBitPairs& pairs, std::span<uint8_t, 12> packed);

// The sixteen 6-bit scales of a Q3_K block, packed into 12 bytes.
void unpack_six_bit_scales(std::span<const uint8_t, 12> packed, std::span<uint8_t, 16> scales);
void pack_six_bit_scales(std::span<const uint8_t, 16> scales, std::span<uint8_t, 12> packed);

}  // namespace wanslim
