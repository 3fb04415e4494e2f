// SPDX-License-Identifier: Apache-2.0
#include "quant/mx.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/minifloat.h"
#include "kernels/mx_search.h"
#include "kernels/round.h"
#include "quant/mx_exponent.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr size_t kBlock = kMxBlock;

// One thread's work on rows: exponents of the blocks of one, and room for candidates.
struct RowWork {
  explicit RowWork(size_t in)
      : blocks(in / kBlock),
        absmax(blocks),
        scales(blocks),
        errors(blocks),
        best_errors(blocks),
        exponents(blocks),
        codes(in) {}
  size_t blocks;
  std::vector<float> absmax, scales, errors, best_errors;
  std::vector<int> exponents;
  std::vector<uint8_t> codes;
};

// Kept from row to row: the memory of a row costs more than its arithmetic.
RowWork& row_work(size_t in) {
  thread_local RowWork work(0);
  if (work.codes.size() != in) work = RowWork(in);
  return work;
}

MiniFloat format_of(Encoding encoding) {
  return encoding == Encoding::kMxFp8 ? kE4M3 : kE2M1;
}

// B(sum / 32): the mean squared error of a block in the reference's bf16.
float mean_bf16(float sum) {
  return round_bf16(sum / static_cast<float>(kBlock));
}

// Of two candidates the second where `prefer_second(error of first, error of second)`.
template <class Prefer>
void choose_bf16(std::span<const float> row, Encoding encoding, std::vector<int> second, Prefer prefer_second,
                 RowWork& work) {
  auto errors = [&](const std::vector<int>& exponents, std::vector<float>& out) {
    std::transform(exponents.begin(), exponents.end(), work.scales.begin(), mx_scale);
    minifloat_errors_bf16(row, kBlock, format_of(encoding), work.scales, out);
  };
  errors(work.exponents, work.best_errors);
  errors(second, work.errors);
  for (size_t b = 0; b < work.blocks; ++b) {
    if (prefer_second(mean_bf16(work.best_errors[b]), mean_bf16(work.errors[b]))) {
      work.exponents[b] = second[b];
    }
  }
}

// The exponents that the reference would take; `c` is ceil_x's, `working` f32 for dualscale.
void reference_exponents(std::span<const float> row, std::span<const float> absmax, Encoding encoding,
                         MxMethod method, float c, Working working, RowWork& work) {
  auto each = [&](auto exponent) {
    std::vector<int> all(work.blocks);
    std::transform(absmax.begin(), absmax.end(), all.begin(), exponent);
    return all;
  };
  switch (method) {
    case MxMethod::kMinMax:
    case MxMethod::kDualScale:
      work.exponents = each([&](float a) {
        return encoding == Encoding::kMxFp8 ? mxfp8_exponent(a, working) : mxfp4_exponent(a, working);
      });
      break;
    case MxMethod::kMseRound:
      work.exponents = each([&](float a) { return mxfp8_exponent(a, working); });
      choose_bf16(
          row, encoding, each([&](float a) { return mxfp8_exponent_ceil(a, working); }),
          [](float floor, float ceil) { return std::isfinite(ceil) && ceil < floor; }, work);
      break;
    case MxMethod::kCeilX:
      work.exponents = each([&](float a) { return mxfp4_exponent_ceil_x(a, c, working); });
      break;
    case MxMethod::kFourOverSix:
      work.exponents = each([&](float a) { return mxfp4_exponent_top(a, 6, working); });
      choose_bf16(
          row, encoding, each([&](float a) { return mxfp4_exponent_top(a, 4, working); }),
          [](float six, float four) { return !(six <= four); }, work);
      break;
  }
}

// ceil_x's search: the c with the smallest error over the whole tensor, in the reference's bf16; the first of
// equals.
float search_ceil_x(const LinearWeight& linear, const MethodOptions& options) {
  std::vector<float> grid;
  const int steps =
      static_cast<int>(std::floor((options.search_max - options.search_min) / options.search_step + 1e-9));
  for (int k = 0; k <= steps; ++k) {
    grid.push_back(static_cast<float>(options.search_min + k * options.search_step));
  }
  std::vector<double> sums(static_cast<size_t>(linear.out()) * grid.size());
  const auto add_row = [&](int64_t r, std::span<const float> row, std::span<const float> absmax) {
    RowWork& work = row_work(row.size());
    for (size_t k = 0; k < grid.size(); ++k) {
      reference_exponents(row, absmax, Encoding::kMxFp4, MxMethod::kCeilX, grid[k], Working::kBf16, work);
      std::transform(work.exponents.begin(), work.exponents.end(), work.scales.begin(), mx_scale);
      minifloat_errors_bf16(row, kBlock, kE2M1, work.scales, work.errors);
      double& sum = sums[static_cast<size_t>(r) * grid.size() + k];
      for (float error : work.errors) sum += static_cast<double>(error);
    }
  };
  for_each_row_in_blocks(linear, kBlock, Numerics::kCompat, add_row);
  float best_c = grid[0], best = INFINITY;
  for (size_t k = 0; k < grid.size(); ++k) {
    double total = 0;
    for (size_t r = 0; r < static_cast<size_t>(linear.out()); ++r) total += sums[r * grid.size() + k];
    const float mean = round_bf16(static_cast<float>(total / static_cast<double>(linear.weight.count())));
    if (mean < best) best = mean, best_c = grid[k];
  }
  return best_c;
}

struct Output {
  std::span<uint8_t> weight, scale;  // of one row
};

// Codes of row * factor / 2^exponent.
void write_row(std::span<const float> row, Encoding encoding, Numerics numerics, float factor, RowWork& work,
               Output out) {
  const bool compat = numerics == Numerics::kCompat;
  const std::span<const int> exponents = work.exponents;
  const std::span<float> scales = work.scales;
  for (size_t b = 0; b < exponents.size(); ++b) out.scale[b] = static_cast<uint8_t>(exponents[b] + 127);
  for (size_t b = 0; b < exponents.size(); ++b)
    scales[b] = compat ? mx_scale(exponents[b]) : factor * power_of_two(-exponents[b]);
  const MiniRule rule = compat ? MiniRule::kAway : MiniRule::kEvenInverse;
  if (encoding == Encoding::kMxFp8) {
    minifloat_codes(row, kBlock, kE4M3, rule, work.scales, out.weight);
  } else if (compat) {
    minifloat_codes(row, kBlock, kE2M1, rule, work.scales, work.codes);
    pack_nibbles(work.codes, out.weight);
  } else {
    minifloat_nibbles(row, kBlock, work.scales, out.weight);
  }
}

// What the reference makes of a 512-block of zeros, where it divides 0 by 0.
constexpr uint8_t kNanScale = 0, kNanCodes = 0x88;

// A `dual_block` of dual-scale MXFP4 as the reference does it; returns its float scale.
float reference_dual(std::span<const float> values, std::span<const float> absmax, Output out,
                     RowWork& work) {
  const float dual = *std::max_element(absmax.begin(), absmax.end()) / 6;
  if (dual == 0) {
    std::fill(out.weight.begin(), out.weight.end(), kNanCodes);
    std::fill(out.scale.begin(), out.scale.end(), kNanScale);
    return dual;
  }
  thread_local std::vector<float> scaled;
  scaled.resize(values.size());
  std::transform(values.begin(), values.end(), scaled.begin(), [dual](float x) { return x / dual; });
  block_absmax(scaled, kBlock, work.absmax);
  reference_exponents(scaled, work.absmax, Encoding::kMxFp4, MxMethod::kDualScale, 0, Working::kF32, work);
  write_row(scaled, Encoding::kMxFp4, Numerics::kCompat, 1, work, out);
  return dual;
}

// Keeps 2^exponent * dual and its inverse normal numbers.
int smallest_under(float dual) {
  return std::max(-127, -126 - floor_log2(dual));
}

// As integers, which compilers compare several at once: magnitudes have the same order.
float largest_of(std::span<const float> magnitudes) {
  uint32_t largest = 0;
  for (const float magnitude : magnitudes) largest = std::max(largest, std::bit_cast<uint32_t>(magnitude));
  return std::bit_cast<float>(largest);
}

// The same with the better of two float scales, and the best exponents under it.
float best_dual(std::span<const float> values, std::span<const float> absmax, Output out, RowWork& work) {
  const float largest = largest_of(absmax);
  float best = 0;
  double best_error = INFINITY;
  // The reference's own scale first, another only if it is better. A third, which has absmax on 7, would gain
  // 0.02 dB on normal values for half as much time again.
  for (const float dual : {round_bf16(largest) / 6, largest / 6.5f}) {
    if (dual < 0x1p-100f || !std::isfinite(dual)) continue;
    const double unit = static_cast<double>(dual);
    const double error =
        static_cast<double>(mx_probe(values, absmax, 1 / dual, smallest_under(dual))) * unit * unit;
    if (!(error < best_error * (1 - 1e-6))) continue;
    best_error = error;
    best = dual;
  }
  if (best == 0) {  // nothing that a scale could hold
    best = 1;
    std::fill(work.exponents.begin(), work.exponents.end(), 0);
  } else {
    mx_search(values, absmax, 1 / best, kE2M1, smallest_under(best), work.exponents);
  }
  write_row(values, Encoding::kMxFp4, Numerics::kPrecise, 1 / best, work, out);
  return best;
}

// One row of dual-scale MXFP4: `duals` gets the float scale of each `dual_block`.
void dual_row(std::span<const float> row, std::span<const float> absmax, size_t dual_block, Numerics numerics,
              std::span<float> duals, Output out) {
  RowWork& work = row_work(dual_block);
  for (size_t k = 0; k < duals.size(); ++k) {
    const std::span<const float> values = row.subspan(k * dual_block, dual_block);
    const Output to{out.weight.subspan(k * dual_block / 2, dual_block / 2),
                    out.scale.subspan(k * work.blocks, work.blocks)};
    duals[k] = (numerics == Numerics::kCompat ? reference_dual : best_dual)(
        values, absmax.subspan(k * work.blocks, work.blocks), to, work);
  }
}

}  // namespace

QuantizedLinear quantize_mx(const LinearWeight& linear, const QuantScheme& scheme, MxMethod method,
                            const MethodOptions& options, Numerics numerics) {
  const bool fp8 = scheme.weight == Encoding::kMxFp8, dual = scheme.weight_granularity == Granularity::kDual;
  const int64_t out = linear.out(), in = linear.in();
  const int64_t dual_block = dual ? options.dual_block_size : in;
  CHECK(in % static_cast<int64_t>(kBlock) == 0 && in % dual_block == 0);
  QuantizedLinear result;
  result.name = linear.name;
  result.scheme = scheme;
  result.weight = fp8 ? Tensor(DType::kF8E4M3, {out, in}) : Tensor(DType::kU8, {out, in / 2});
  result.scale = Tensor(DType::kU8, {out, in / static_cast<int64_t>(kBlock)});
  if (dual) result.dual_scale = Tensor(DType::kF32, {out, in / dual_block});
  result.bias = bias_as_float(linear, numerics);
  const float c = method == MxMethod::kCeilX && numerics == Numerics::kCompat && options.enable_search
                      ? search_ceil_x(linear, options)
                      : static_cast<float>(options.ceil_x_value);
  const std::span<uint8_t> weight = result.weight.as<uint8_t>(), scale = result.scale.as<uint8_t>();
  const size_t weight_row = static_cast<size_t>(result.weight.dim(1));
  const size_t scale_row = static_cast<size_t>(result.scale.dim(1));
  const auto quantize_row = [&](int64_t r, std::span<const float> row, std::span<const float> absmax) {
    const size_t at = static_cast<size_t>(r);
    const Output to{weight.subspan(at * weight_row, weight_row), scale.subspan(at * scale_row, scale_row)};
    if (dual) {
      const size_t duals = static_cast<size_t>(in / dual_block);
      return dual_row(row, absmax, static_cast<size_t>(dual_block), numerics,
                      result.dual_scale.as<float>().subspan(at * duals, duals), to);
    }
    RowWork& work = row_work(row.size());
    if (numerics == Numerics::kCompat) {
      reference_exponents(row, absmax, scheme.weight, method, c, Working::kBf16, work);
    } else {
      mx_search(row, absmax, 1, format_of(scheme.weight), -127, work.exponents);
    }
    write_row(row, scheme.weight, numerics, 1, work, to);
  };
  for_each_row_in_blocks(linear, kBlock, numerics, quantize_row);
  return result;
}

}  // namespace wanslim
