// SPDX-License-Identifier: Apache-2.0
// Writes one block of a ggml format from its codes and scales; the inverse of decode_ggml_block.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/quantized.h"

namespace wanslim {

// What a block holds. `codes` are unsigned: 0 is the smallest code of the format.
struct GgmlFields {
  uint16_t d = 0, m = 0;             // half precision bits
  std::span<const uint8_t> codes;    // of 32 or 256 values
  std::span<const uint8_t> scales;   // Q4_K, Q5_K: 8; Q2_K, Q3_K, Q6_K: 16 (Q6_K: int8 bits, Q3_K: + 32)
  std::span<const uint8_t> offsets;  // Q4_K, Q5_K: 8; Q2_K: 16
};

void pack_ggml_block(Encoding encoding, const GgmlFields& fields, std::span<uint8_t> block);

}  // namespace wanslim
