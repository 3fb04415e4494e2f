// SPDX-License-Identifier: Apache-2.0
#include "tensor/ggml_blocks.h"

#include "base/error.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

struct Row {
  Encoding encoding;
  GgmlBlock block;
};
constexpr Row kRows[] = {
    {Encoding::kQ8_0, {32, 34}},   {Encoding::kQ4_0, {32, 18}},   {Encoding::kQ6_K, {256, 210}},
    {Encoding::kQ5_K, {256, 176}}, {Encoding::kQ4_K, {256, 144}}, {Encoding::kQ3_K, {256, 110}},
    {Encoding::kQ2_K, {256, 84}},
};

float half_at(const uint8_t* bytes) {
  return f16_to_float(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

void decode_q8_0(const uint8_t* b, float* x) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(static_cast<int8_t>(b[2 + i]));
}

void decode_q4_0(const uint8_t* b, float* x) {
  const float d = half_at(b);
  for (int i = 0; i < 16; ++i) {
    x[i] = d * static_cast<float>((b[2 + i] & 15) - 8);
    x[i + 16] = d * static_cast<float>((b[2 + i] >> 4) - 8);
  }
}

// Q4_K and Q5_K: 64 values in 32 bytes of nibbles, the low ones first; `high` null or one bit plane a 32.
void decode_q45_k(const uint8_t* b, const uint8_t* high, const uint8_t* nibbles, float* x) {
  const float d = half_at(b), m = half_at(b + 2);
  const SixBitPairs pairs = unpack_six_bit_pairs(std::span<const uint8_t, 12>(b + 4, 12));
  for (int part = 0; part < 8; ++part) {
    const float scale = d * static_cast<float>(pairs.scale[part]);
    const float offset = m * static_cast<float>(pairs.offset[part]);
    for (int i = 0; i < 32; ++i) {
      int q = nibbles[part / 2 * 32 + i] >> (part % 2 * 4) & 15;
      if (high) q |= (high[i] >> part & 1) << 4;
      x[part * 32 + i] = scale * static_cast<float>(q) - offset;
    }
  }
}

void decode_q6_k(const uint8_t* b, float* x) {
  const uint8_t* low = b;
  const uint8_t* high = b + 128;
  const int8_t* scales = reinterpret_cast<const int8_t*>(b + 192);
  const float d = half_at(b + 208);
  for (int i = 0; i < 256; ++i) {
    // Half of 128, then four runs of 32: runs 0 and 2 share bytes, as 1 and 3 do; one byte of `high` serves
    // all.
    const int half = i / 128, run = i / 32 % 4, at = i % 32;
    const int nibble = low[half * 64 + run % 2 * 32 + at] >> (run / 2 * 4) & 15;
    const int q = (nibble | (high[half * 32 + at] >> (run * 2) & 3) << 4) - 32;
    const int sub = i / 16;
    x[i] = d * static_cast<float>(scales[sub]) * static_cast<float>(q);
  }
}

void decode_q3_k(const uint8_t* b, float* x) {
  const float d = half_at(b + 108);
  uint8_t scales[16];
  unpack_six_bit_scales(std::span<const uint8_t, 12>(b + 96, 12), scales);
  for (int i = 0; i < 256; ++i) {
    const int run = i / 32, at = i % 32;
    const int low = b[32 + run / 4 * 32 + at] >> (run % 4 * 2) & 3, high = b[at] >> run & 1;
    const int sub = i / 16;
    x[i] = d * static_cast<float>(scales[sub] - 32) * static_cast<float>((low | high << 2) - 4);
  }
}

void decode_q2_k(const uint8_t* b, float* x) {
  const float d = half_at(b + 80), m = half_at(b + 82);
  for (int i = 0; i < 256; ++i) {
    const int run = i / 32, at = i % 32;
    const int q = b[16 + run / 4 * 32 + at] >> (run % 4 * 2) & 3;
    const uint8_t pair = b[i / 16];
    x[i] = d * static_cast<float>(pair & 15) * static_cast<float>(q) - m * static_cast<float>(pair >> 4);
  }
}

}  // namespace

GgmlBlock ggml_block(Encoding encoding) {
  for (const Row& row : kRows) {
    if (row.encoding == encoding) return row.block;
  }
  return {};
}

void decode_ggml_block(Encoding encoding, std::span<const uint8_t> block, std::span<float> values) {
  const GgmlBlock size = ggml_block(encoding);
  CHECK(size.elements > 0 && block.size() == static_cast<size_t>(size.bytes) &&
        values.size() == static_cast<size_t>(size.elements));
  const uint8_t* b = block.data();
  switch (encoding) {
    case Encoding::kQ8_0:
      return decode_q8_0(b, values.data());
    case Encoding::kQ4_0:
      return decode_q4_0(b, values.data());
    case Encoding::kQ6_K:
      return decode_q6_k(b, values.data());
    case Encoding::kQ5_K:
      return decode_q45_k(b, b + 16, b + 48, values.data());
    case Encoding::kQ4_K:
      return decode_q45_k(b, nullptr, b + 16, values.data());
    case Encoding::kQ3_K:
      return decode_q3_k(b, values.data());
    default:
      return decode_q2_k(b, values.data());
  }
}

// The first four pairs lie in the low six bits of bytes 0-3 and 4-7; the others in nibbles of bytes 8-11,
// their upper two bits on top of bytes 0-7.
SixBitPairs unpack_six_bit_pairs(std::span<const uint8_t, 12> packed) {
  SixBitPairs pairs;
  for (size_t i = 0; i < 4; ++i) {
    pairs.scale[i] = packed[i] & 63;
    pairs.offset[i] = packed[i + 4] & 63;
    pairs.scale[i + 4] = static_cast<uint8_t>((packed[i + 8] & 15) | packed[i] >> 6 << 4);
    pairs.offset[i + 4] = static_cast<uint8_t>(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
  }
  return pairs;
}

void pack_six_bit_pairs(const SixBitPairs& pairs, std::span<uint8_t, 12> packed) {
  for (size_t i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(pairs.scale[i] | pairs.scale[i + 4] >> 4 << 6);
    packed[i + 4] = static_cast<uint8_t>(pairs.offset[i] | pairs.offset[i + 4] >> 4 << 6);
    packed[i + 8] = static_cast<uint8_t>((pairs.scale[i + 4] & 15) | (pairs.offset[i + 4] & 15) << 4);
  }
}

// Low four bits in the nibbles of bytes 0-7 (0-7 low, 8-15 high), upper two bits in bytes 8-11, four of them
// each.
void unpack_six_bit_scales(std::span<const uint8_t, 12> packed, std::span<uint8_t, 16> scales) {
  for (size_t i = 0; i < 16; ++i) {
    const int low = packed[i % 8] >> (i / 8 * 4) & 15, high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
    scales[i] = static_cast<uint8_t>(low | high << 4);
  }
}

void pack_six_bit_scales(std::span<const uint8_t, 16> scales, std::span<uint8_t, 12> packed) {
  for (uint8_t& byte : packed) byte = 0;
  for (size_t i = 0; i < 16; ++i) {
    packed[i % 8] = static_cast<uint8_t>(packed[i % 8] | (scales[i] & 15) << (i / 8 * 4));
    packed[8 + i % 4] = static_cast<uint8_t>(packed[8 + i % 4] | scales[i] >> 4 << (i / 4 * 2));
  }
}

}  // namespace wanslim
