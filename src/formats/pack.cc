// SPDX-License-Identifier: Apache-2.0
#include "formats/pack.h"

#include <algorithm>
#include <cstring>

#include "tensor/half.h"

namespace wanslim {
namespace {

uint8_t joined(int8_t low, int8_t high) {
  return static_cast<uint8_t>((low & 15) | (high << 4));
}
int8_t low_code(uint8_t byte) {
  return static_cast<int8_t>(static_cast<int8_t>(byte << 4) >> 4);
}
int8_t high_code(uint8_t byte) {
  return static_cast<int8_t>(static_cast<int8_t>(byte) >> 4);
}

int64_t round_up(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Where scale (row, column) lies in the blocked bytes.
size_t blocked_index(int64_t row, int64_t column, int64_t padded_columns) {
  const int64_t tile = row / 128 * (padded_columns / 4) + column / 4;
  return static_cast<size_t>(tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + column % 4);
}

}  // namespace

Tensor pack_int4_along_rows(const Tensor& codes) {
  CHECK(codes.dim(1) % 2 == 0);
  Tensor out(DType::kI8, {codes.dim(0), codes.dim(1) / 2});
  const std::span<const int8_t> from = codes.as<int8_t>();
  const std::span<uint8_t> to = out.as<uint8_t>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = joined(from[2 * i], from[2 * i + 1]);
  return out;
}

Tensor unpack_int4_along_rows(const Tensor& packed) {
  Tensor out(DType::kI8, {packed.dim(0), packed.dim(1) * 2});
  const std::span<const uint8_t> from = packed.as<uint8_t>();
  const std::span<int8_t> to = out.as<int8_t>();
  for (size_t i = 0; i < from.size(); ++i) {
    to[2 * i] = low_code(from[i]);
    to[2 * i + 1] = high_code(from[i]);
  }
  return out;
}

Tensor pack_int4_along_columns(const Tensor& codes) {
  CHECK(codes.dim(0) % 2 == 0);
  const size_t columns = static_cast<size_t>(codes.dim(1));
  Tensor out(DType::kI8, {codes.dim(0) / 2, codes.dim(1)});
  for (size_t r = 0; r < static_cast<size_t>(out.dim(0)); ++r) {
    const std::span<const int8_t> low = codes.as<int8_t>().subspan(2 * r * columns, columns);
    const std::span<const int8_t> high = codes.as<int8_t>().subspan((2 * r + 1) * columns, columns);
    const std::span<uint8_t> to = out.as<uint8_t>().subspan(r * columns, columns);
    for (size_t c = 0; c < columns; ++c) to[c] = joined(low[c], high[c]);
  }
  return out;
}

Tensor unpack_int4_along_columns(const Tensor& packed) {
  const size_t columns = static_cast<size_t>(packed.dim(1));
  Tensor out(DType::kI8, {packed.dim(0) * 2, packed.dim(1)});
  for (size_t r = 0; r < static_cast<size_t>(packed.dim(0)); ++r) {
    const std::span<const uint8_t> from = packed.as<uint8_t>().subspan(r * columns, columns);
    const std::span<int8_t> low = out.as<int8_t>().subspan(2 * r * columns, columns);
    const std::span<int8_t> high = out.as<int8_t>().subspan((2 * r + 1) * columns, columns);
    for (size_t c = 0; c < columns; ++c) {
      low[c] = low_code(from[c]);
      high[c] = high_code(from[c]);
    }
  }
  return out;
}

Tensor pack_into_int32(const Tensor& codes, int bits) {
  CHECK(bits == 4 || bits == 8);
  const size_t in = static_cast<size_t>(codes.dim(1)), per_word = 32 / static_cast<size_t>(bits);
  const size_t words = (in + per_word - 1) / per_word;
  Tensor out(DType::kI32, {codes.dim(0), static_cast<int64_t>(words)});
  std::memset(out.raw().data(), 0, out.bytes());
  const std::span<int32_t> to = out.as<int32_t>();
  for (size_t r = 0; r < static_cast<size_t>(codes.dim(0)); ++r) {
    const std::span<const int8_t> row = codes.as<int8_t>().subspan(r * in, in);
    for (size_t w = 0; w < words; ++w) {
      uint32_t word = 0;
      for (size_t i = w * per_word; i < std::min(in, (w + 1) * per_word); ++i) {
        const uint32_t code = static_cast<uint32_t>(row[i] + (1 << (bits - 1)));
        word |= code << (i % per_word * static_cast<size_t>(bits));
      }
      to[r * words + w] = static_cast<int32_t>(word);
    }
  }
  return out;
}

Tensor unpack_from_int32(const Tensor& packed, int bits, int64_t in) {
  CHECK(bits == 4 || bits == 8);
  const size_t per_word = 32 / static_cast<size_t>(bits), columns = static_cast<size_t>(in);
  const size_t words = static_cast<size_t>(packed.dim(1));
  CHECK(columns <= words * per_word);
  Tensor out(DType::kI8, {packed.dim(0), in});
  const uint32_t mask = (1u << bits) - 1;
  for (size_t r = 0; r < static_cast<size_t>(packed.dim(0)); ++r) {
    const std::span<const int32_t> row = packed.as<int32_t>().subspan(r * words, words);
    const std::span<int8_t> to = out.as<int8_t>().subspan(r * columns, columns);
    for (size_t i = 0; i < columns; ++i) {
      const uint32_t word = static_cast<uint32_t>(row[i / per_word]);
      const int code = static_cast<int>(word >> (i % per_word * static_cast<size_t>(bits)) & mask);
      to[i] = static_cast<int8_t>(code - (1 << (bits - 1)));
    }
  }
  return out;
}

Tensor swap_nibbles(const Tensor& packed) {
  Tensor out(packed.dtype(), packed.shape());
  const std::span<const uint8_t> from = packed.as<uint8_t>();
  const std::span<uint8_t> to = out.as<uint8_t>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<uint8_t>(from[i] << 4 | from[i] >> 4);
  return out;
}

Shape blocked_shape(int64_t rows, int64_t columns) {
  return {round_up(rows, 128), round_up(columns, 4)};
}

Tensor to_blocked(const Tensor& scales) {
  Tensor out(scales.dtype(), blocked_shape(scales.dim(0), scales.dim(1)));
  std::memset(out.raw().data(), 0, out.bytes());
  const uint8_t* const from = scales.as<uint8_t>().data();
  uint8_t* const to = out.as<uint8_t>().data();
  const int64_t columns = scales.dim(1);
  for (int64_t r = 0; r < scales.dim(0); ++r) {
    for (int64_t c = 0; c < columns; c += 4) {  // four columns lie side by side
      std::copy_n(from + r * columns + c, std::min<int64_t>(4, columns - c),
                  to + blocked_index(r, c, out.dim(1)));
    }
  }
  return out;
}

Tensor from_blocked(const Tensor& blocked, int64_t rows, int64_t columns) {
  CHECK(blocked.shape() == blocked_shape(rows, columns));
  Tensor out(blocked.dtype(), {rows, columns});
  size_t at = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      out.as<uint8_t>()[at++] = blocked.as<uint8_t>()[blocked_index(r, c, blocked.dim(1))];
  }
  return out;
}

Tensor narrowed(const Tensor& values, DType dtype) {
  if (dtype == DType::kF32) return values.clone();
  const auto round = dtype == DType::kF16 ? float_to_f16 : float_to_bf16;
  Tensor out(dtype, values.shape());
  const std::span<const float> from = values.as<float>();
  for (size_t i = 0; i < from.size(); ++i) out.as<uint16_t>()[i] = round(from[i]);
  return out;
}

}  // namespace wanslim
