// SPDX-License-Identifier: Apache-2.0
// Plain-loop twins of minifloat.h, mx_search.h and nvfp4_search.h: the definition that every SIMD target is
// tested against.
#pragma once
#include "kernels/minifloat.h"
#include "kernels/mx_search.h"
#include "kernels/nvfp4_search.h"

namespace wanslim::reference {

void block_absmax(std::span<const float> row, size_t block, std::span<float> absmax);
void minifloat_codes(std::span<const float> row, size_t block, MiniFloat format, MiniRule rule,
                     std::span<const float> scales, std::span<uint8_t> codes);
void minifloat_errors(std::span<const float> row, size_t block, MiniFloat format,
                      std::span<const float> inverse, std::span<float> errors);
void minifloat_errors_bf16(std::span<const float> row, size_t block, MiniFloat format,
                           std::span<const float> scales, std::span<float> errors);
void mx_search(std::span<const float> row, std::span<const float> absmax, float factor, MiniFloat format,
               int smallest, std::span<int> exponents);
float mx_probe(std::span<const float> row, std::span<const float> absmax, float factor, int smallest);
void nvfp4_search(std::span<const float> row, const Nvfp4Scales& scales, std::span<const uint8_t> first,
                  std::span<uint8_t> codes);
void minifloat_nibbles(std::span<const float> row, size_t block, std::span<const float> inverse,
                       std::span<uint8_t> packed);
void pack_nibbles(std::span<const uint8_t> codes, std::span<uint8_t> packed);

}  // namespace wanslim::reference
