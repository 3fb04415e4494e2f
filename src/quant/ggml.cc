// SPDX-License-Identifier: Apache-2.0
#include "quant/ggml.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/minifloat.h"
#include "kernels/run_tile.h"
#include "quant/ggml_pack.h"
#include "tensor/ggml_blocks.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr size_t kRuns = RunTile::kRuns;

// How a format codes its runs, and how their scales are coded in turn.
struct FormatRow {
  Encoding encoding;
  size_t run;        // values that share a scale
  CodeRange codes;   // of values
  CodeRange scales;  // of scales (and offsets); {1, 1}: each run has a half precision scale of its own
  bool has_offset;
  int steps;  // starts of the fit
};
constexpr FormatRow kRows[] = {
    {Encoding::kQ4_0, 32, {-8, 7}, {1, 1}, false, 18},
    {Encoding::kQ6_K, 16, {-32, 31}, {-128, 127}, false, 12},
    {Encoding::kQ5_K, 32, {0, 31}, {0, 63}, true, 18},
    {Encoding::kQ4_K, 32, {0, 15}, {0, 63}, true, 18},
    {Encoding::kQ3_K, 16, {-4, 3}, {-32, 31}, false, 18},
    {Encoding::kQ2_K, 16, {0, 3}, {0, 15}, true, 24},
};

const FormatRow& format_row(Encoding encoding) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows),
                                 [&](const FormatRow& r) { return r.encoding == encoding; });
  CHECK(row != std::end(kRows));
  return *row;
}

// A scale as GGUF stores it.
struct Half {
  uint16_t bits = 0;
  float value = 0;
};
Half half_of(float value) {
  const uint16_t bits = float_to_f16(value);
  return {bits, f16_to_float(bits)};
}

// Of 16 runs: what is stored, and the scale and offset that it stands for.
struct Fitted {
  Half d[kRuns], m[kRuns];  // of the run's block
  int scale_code[kRuns] = {}, offset_code[kRuns] = {};
  RunFloats scale, offset;
};

int coded(float value, float unit, CodeRange range) {
  if (unit == 0) return std::clamp(0, range.low, range.high);
  return std::clamp(static_cast<int>(std::nearbyint(value / unit)), range.low, range.high);
}

// The unit that puts the widest of `values` on the end of the range that holds more.
Half unit_of(const float* values, size_t count, CodeRange range) {
  float widest = 0;
  for (size_t k = 0; k < count; ++k) {
    if (std::fabs(values[k]) > std::fabs(widest)) widest = values[k];
  }
  return half_of(widest / static_cast<float>(range.low < 0 ? range.low : range.high));
}

// Tries the codes next to the ones in `fitted` and keeps those with the smallest error on the values.
void refine(const RunTile& tile, const FormatRow& format, Fitted& fitted) {
  RunFloats best_error, error, scale, offset;
  const Fitted start = fitted;
  best_error.fill(INFINITY);
  const int offset_reach = format.has_offset ? 1 : 0;
  for (int ds = -1; ds <= 1; ++ds) {
    for (int dm = -offset_reach; dm <= offset_reach; ++dm) {
      auto moved = [&](int code, int by) {
        return std::clamp(code + by, format.scales.low, format.scales.high);
      };
      for (size_t k = 0; k < kRuns; ++k) {
        scale[k] = start.d[k].value * static_cast<float>(moved(start.scale_code[k], ds));
        offset[k] =
            format.has_offset ? start.m[k].value * static_cast<float>(moved(start.offset_code[k], dm)) : 0;
      }
      tile_errors(tile, format.codes, scale, offset, error);
      for (size_t k = 0; k < kRuns; ++k) {
        if (!(error[k] < best_error[k])) continue;
        best_error[k] = error[k];
        fitted.scale_code[k] = moved(start.scale_code[k], ds);
        fitted.offset_code[k] = format.has_offset ? moved(start.offset_code[k], dm) : 0;
        fitted.scale[k] = scale[k];
        fitted.offset[k] = offset[k];
      }
    }
  }
}

// Fits 16 runs; `per_block` consecutive ones share the units of their scales.
Fitted fit_blocks(const RunTile& tile, const FormatRow& format, size_t per_block) {
  RunFloats scale, offset;
  offset.fill(0);
  if (format.has_offset) {
    fit_affine(tile, format.codes.high, format.steps, scale, offset);
  } else {
    fit_symmetric(tile, format.codes, format.steps, scale);
  }
  Fitted fitted;
  for (size_t first = 0; first < kRuns; first += per_block) {
    const Half d = unit_of(&scale[first], per_block, format.scales);
    const Half m = unit_of(&offset[first], per_block, format.scales);
    for (size_t k = first; k < first + per_block; ++k) {
      fitted.d[k] = d, fitted.m[k] = m;
      fitted.scale_code[k] = coded(scale[k], d.value, format.scales);
      fitted.offset_code[k] = coded(offset[k], m.value, format.scales);
    }
  }
  refine(tile, format, fitted);
  return fitted;
}

// Writes the blocks that the 16 runs make up, at most `blocks` of them.
void write_blocks(const FormatRow& format, const Fitted& fitted, std::span<const uint8_t> codes,
                  size_t blocks, std::span<uint8_t> out) {
  const GgmlBlock size = ggml_block(format.encoding);
  const size_t elements = static_cast<size_t>(size.elements), bytes = static_cast<size_t>(size.bytes);
  const size_t per_block = elements / format.run;
  uint8_t scales[kRuns], offsets[kRuns];
  for (size_t k = 0; k < kRuns; ++k) {
    const int bias = format.encoding == Encoding::kQ3_K ? 32 : 0;
    scales[k] = static_cast<uint8_t>(fitted.scale_code[k] + bias);
    offsets[k] = static_cast<uint8_t>(fitted.offset_code[k]);
  }
  for (size_t b = 0; b < blocks; ++b) {
    const size_t first = b * per_block;
    GgmlFields fields;
    fields.d = fitted.d[first].bits;
    fields.m = fitted.m[first].bits;
    fields.codes = codes.subspan(b * elements, elements);
    fields.scales = std::span(scales).subspan(first, per_block);
    fields.offsets = std::span(offsets).subspan(first, per_block);
    if (format.encoding == Encoding::kQ4_0) fields.scales = fields.offsets = {};
    pack_ggml_block(format.encoding, fields, out.subspan(b * bytes, bytes));
  }
}

void quantize_row(std::span<const float> row, const FormatRow& format, std::span<uint8_t> out) {
  const GgmlBlock size = ggml_block(format.encoding);
  const size_t elements = static_cast<size_t>(size.elements), bytes = static_cast<size_t>(size.bytes);
  const size_t tile_values = kRuns * format.run, blocks = tile_values / elements;
  std::vector<float> padded(tile_values);
  std::vector<uint8_t> codes(tile_values);
  RunTile tile;
  for (size_t start = 0; start < row.size(); start += tile_values) {
    const size_t count = std::min(tile_values, row.size() - start);
    std::copy_n(row.begin() + static_cast<std::ptrdiff_t>(start), count, padded.begin());
    std::fill(padded.begin() + static_cast<std::ptrdiff_t>(count), padded.end(), 0.0f);
    load_tile(padded, tile);
    const Fitted fitted = fit_blocks(tile, format, kRuns / blocks);
    tile_codes(tile, format.codes, fitted.scale, fitted.offset, codes);
    write_blocks(format, fitted, codes, count / elements, out.subspan(start / elements * bytes));
  }
}

// d = absmax / 127 in float, stored as half; codes against the float, half away from zero.
void quantize_row_q8_0(std::span<const float> row, std::span<uint8_t> out) {
  const size_t blocks = row.size() / 32;
  std::vector<float> largest(blocks), inverse(blocks);
  std::vector<int8_t> codes(row.size());
  block_absmax(row, 32, largest);
  for (size_t b = 0; b < blocks; ++b) {
    const float d = largest[b] / 127;
    inverse[b] = d == 0 ? 0.0f : 1.0f / d;
    largest[b] = d;
  }
  round_away_blocks(row, inverse, codes);
  for (size_t b = 0; b < blocks; ++b) {
    const uint16_t d = float_to_f16(largest[b]);
    out[b * 34] = static_cast<uint8_t>(d);
    out[b * 34 + 1] = static_cast<uint8_t>(d >> 8);
    std::copy_n(codes.begin() + static_cast<std::ptrdiff_t>(b * 32), 32, &out[b * 34 + 2]);
  }
}

}  // namespace

QuantizedLinear quantize_ggml(const LinearWeight& linear, const QuantScheme& scheme) {
  const GgmlBlock size = ggml_block(scheme.weight);
  CHECK(size.elements > 0 && linear.in() % size.elements == 0);
  QuantizedLinear result;
  result.name = linear.name;
  result.scheme = scheme;
  result.weight = Tensor(DType::kU8, {linear.out(), linear.in() / size.elements * size.bytes});
  result.bias = bias_as_float(linear, Numerics::kPrecise);
  const std::span<uint8_t> bytes = result.weight.as<uint8_t>();
  const size_t row_bytes = static_cast<size_t>(result.weight.dim(1));
  for_each_row(linear, Numerics::kPrecise, [&](int64_t r, std::span<const float> row, float absmax) {
    // Largest magnitude whose scale is finite in half precision for every format.
    if (absmax > 60000.0f * 4) {
      throw Error({.what = fmt::format(
                       "a weight of row {} is {} large; GGUF's half precision scales end before", r, absmax),
                   .where = linear.name,
                   .hint = "leave this layer in float"});
    }
    const std::span<uint8_t> to = bytes.subspan(static_cast<size_t>(r) * row_bytes, row_bytes);
    if (scheme.weight == Encoding::kQ8_0) {
      quantize_row_q8_0(row, to);
    } else {
      quantize_row(row, format_row(scheme.weight), to);
    }
  });
  return result;
}

}  // namespace wanslim
