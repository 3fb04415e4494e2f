// SPDX-License-Identifier: Apache-2.0
#include "quant/ggml_pack.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

void put_half(uint16_t bits, uint8_t* to) {
  to[0] = static_cast<uint8_t>(bits);
  to[1] = static_cast<uint8_t>(bits >> 8);
}

void pack_q8_0(const GgmlFields& f, uint8_t* b) {
  put_half(f.d, b);
  std::copy(f.codes.begin(), f.codes.end(), b + 2);
}

void pack_q4_0(const GgmlFields& f, uint8_t* b) {
  put_half(f.d, b);
  for (size_t i = 0; i < 16; ++i) b[2 + i] = static_cast<uint8_t>(f.codes[i] | f.codes[i + 16] << 4);
}

void pack_q45_k(const GgmlFields& f, uint8_t* high, uint8_t* nibbles, uint8_t* b) {
  put_half(f.d, b);
  put_half(f.m, b + 2);
  SixBitPairs pairs;
  std::copy(f.scales.begin(), f.scales.end(), pairs.scale);
  std::copy(f.offsets.begin(), f.offsets.end(), pairs.offset);
  pack_six_bit_pairs(pairs, std::span<uint8_t, 12>(b + 4, 12));
  if (high) std::fill(high, high + 32, uint8_t{0});
  for (size_t part = 0; part < 8; part += 2) {
    for (size_t i = 0; i < 32; ++i) {
      const int first = f.codes[part * 32 + i], second = f.codes[part * 32 + 32 + i];
      nibbles[part * 16 + i] = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
      if (high) high[i] = static_cast<uint8_t>(high[i] | first >> 4 << part | second >> 4 << (part + 1));
    }
  }
}

void pack_q6_k(const GgmlFields& f, uint8_t* b) {
  uint8_t* const low = b;
  uint8_t* const high = b + 128;
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* q = f.codes.data() + half * 128;
    for (size_t i = 0; i < 32; ++i) {
      low[half * 64 + i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 64] & 15) << 4);
      low[half * 64 + 32 + i] = static_cast<uint8_t>((q[i + 32] & 15) | (q[i + 96] & 15) << 4);
      high[half * 32 + i] =
          static_cast<uint8_t>(q[i] >> 4 | q[i + 32] >> 4 << 2 | q[i + 64] >> 4 << 4 | q[i + 96] >> 4 << 6);
    }
  }
  std::copy(f.scales.begin(), f.scales.end(), b + 192);
  put_half(f.d, b + 208);
}

// The low two bits of 256 codes: runs of 32 a shift, halves of 128.
void pack_two_bits(const uint8_t* codes, uint8_t* to) {
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* q = codes + half * 128;
    for (size_t i = 0; i < 32; ++i) {
      to[half * 32 + i] = static_cast<uint8_t>((q[i] & 3) | (q[i + 32] & 3) << 2 | (q[i + 64] & 3) << 4 |
                                               (q[i + 96] & 3) << 6);
    }
  }
}

void pack_q3_k(const GgmlFields& f, uint8_t* b) {
  std::fill(b, b + 32, uint8_t{0});
  for (size_t i = 0; i < 256; ++i) b[i % 32] = static_cast<uint8_t>(b[i % 32] | f.codes[i] >> 2 << (i / 32));
  pack_two_bits(f.codes.data(), b + 32);
  pack_six_bit_scales(f.scales.first<16>(), std::span<uint8_t, 12>(b + 96, 12));
  put_half(f.d, b + 108);
}

void pack_q2_k(const GgmlFields& f, uint8_t* b) {
  for (size_t i = 0; i < 16; ++i) b[i] = static_cast<uint8_t>(f.scales[i] | f.offsets[i] << 4);
  pack_two_bits(f.codes.data(), b + 16);
  put_half(f.d, b + 80);
  put_half(f.m, b + 82);
}

}  // namespace

void pack_ggml_block(Encoding encoding, const GgmlFields& fields, std::span<uint8_t> block) {
  const GgmlBlock size = ggml_block(encoding);
  CHECK(block.size() == static_cast<size_t>(size.bytes) &&
        fields.codes.size() == static_cast<size_t>(size.elements));
  uint8_t* b = block.data();
  switch (encoding) {
    case Encoding::kQ8_0:
      return pack_q8_0(fields, b);
    case Encoding::kQ4_0:
      return pack_q4_0(fields, b);
    case Encoding::kQ6_K:
      return pack_q6_k(fields, b);
    case Encoding::kQ5_K:
      return pack_q45_k(fields, b + 16, b + 48, b);
    case Encoding::kQ4_K:
      return pack_q45_k(fields, nullptr, b + 16, b);
    case Encoding::kQ3_K:
      return pack_q3_k(fields, b);
    default:
      return pack_q2_k(fields, b);
  }
}

}  // namespace wanslim
