// SPDX-License-Identifier: Apache-2.0
#include "quant/mx.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/minifloat.h"
#include "kernels/round.h"
#include "quant/mx_exponent.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr size_t kBlock = 32;

// One thread's work on rows: exponents of the blocks of one, and room for candidates.
struct RowWork {
  explicit RowWork(size_t in)
      : blocks(in / kBlock),
        absmax(blocks),
        scales(blocks),
        errors(blocks),
        best_errors(blocks),
        rival_values(in),
        first(blocks),
        exponents(blocks),
        rivals(blocks),
        codes(in) {}
  size_t blocks;
  std::vector<float> absmax, scales, errors, best_errors, rival_values;
  std::vector<int> first, exponents;
  std::vector<size_t> rivals;
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

// Tries exponents `offset` above work.first for the first `count` blocks of work.rivals; they are copied
// together, so that one call looks at all of them.
void try_offset(std::span<const float> row, MiniFloat format, int offset, size_t count, RowWork& work) {
  for (size_t k = 0; k < count; ++k) {
    const size_t b = work.rivals[k];
    work.scales[k] = mx_scale(-(work.first[b] + offset));
    std::copy_n(&row[b * kBlock], kBlock, &work.rival_values[k * kBlock]);
  }
  minifloat_errors(std::span(work.rival_values).first(count * kBlock), kBlock, format,
                   std::span(work.scales).first(count), std::span(work.errors).first(count));
  const float unit = mx_scale(2 * offset);  // errors are in units of the first exponent
  for (size_t k = 0; k < count; ++k) {
    const size_t b = work.rivals[k];
    const float error = work.errors[k] * unit;
    if (offset != 0 && !(error < work.best_errors[b])) continue;
    work.best_errors[b] = error;
    work.exponents[b] = work.first[b] + offset;
  }
}

// Lists the blocks where `may_win`, without a branch that nobody could predict.
template <class MayWin>
size_t list_rivals(RowWork& work, MayWin may_win) {
  size_t count = 0;
  for (size_t b = 0; b < work.blocks; ++b) {
    work.rivals[count] = b;
    count += may_win(b) ? 1 : 0;
  }
  return count;
}

// The exponent with the smallest squared error for each block, and for FP4 that error: of the one that just
// holds absmax, the one above, and for FP4 the one below, in this order. A block is spared what cannot be
// better:
//   above  a grid that is twice as coarse gains only where absmax would be clipped
//   below  absmax is clipped, and the square of that is in the sum
void best_exponents(std::span<const float> row, Encoding encoding, RowWork& work) {
  const bool fp8 = encoding == Encoding::kMxFp8;
  const MiniFloat format = format_of(encoding);
  const int emax = fp8 ? 8 : 2;
  block_absmax(row, kBlock, work.absmax);
  for (size_t b = 0; b < work.blocks; ++b) {
    work.exponents[b] = work.first[b] = std::max(floor_log2(work.absmax[b]) - emax, -127);
    work.scales[b] = mx_scale(-work.first[b]);
  }
  const size_t clipped =
      list_rivals(work, [&](size_t b) { return work.absmax[b] * work.scales[b] > format.max; });
  if (fp8) {
    try_offset(row, format, 0, clipped, work);
    return try_offset(row, format, 1, clipped, work);
  }
  minifloat_errors(row, kBlock, format, work.scales, work.best_errors);
  try_offset(row, format, 1, clipped, work);
  try_offset(row, format, -1,
             list_rivals(work,
                         [&](size_t b) {
                           const float over = work.absmax[b] * mx_scale(1 - work.first[b]) - format.max;
                           return work.first[b] > -127 && work.best_errors[b] > over * over * 0.25f;
                         }),
             work);
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
void reference_exponents(std::span<const float> row, Encoding encoding, MxMethod method, float c,
                         Working working, RowWork& work) {
  block_absmax(row, kBlock, work.absmax);
  auto each = [&](auto exponent) {
    std::vector<int> all(work.blocks);
    std::transform(work.absmax.begin(), work.absmax.end(), all.begin(), exponent);
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
  for_each_row(linear, Numerics::kCompat, [&](int64_t r, std::span<const float> row, float) {
    RowWork& work = row_work(row.size());
    for (size_t k = 0; k < grid.size(); ++k) {
      reference_exponents(row, Encoding::kMxFp4, MxMethod::kCeilX, grid[k], Working::kBf16, work);
      std::transform(work.exponents.begin(), work.exponents.end(), work.scales.begin(), mx_scale);
      minifloat_errors_bf16(row, kBlock, kE2M1, work.scales, work.errors);
      double& sum = sums[static_cast<size_t>(r) * grid.size() + k];
      for (float error : work.errors) sum += static_cast<double>(error);
    }
  });
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

void write_row(std::span<const float> row, Encoding encoding, MiniRule rule, RowWork& work, Output out) {
  for (size_t b = 0; b < work.blocks; ++b) {
    work.scales[b] = mx_scale(work.exponents[b]);
    out.scale[b] = static_cast<uint8_t>(work.exponents[b] + 127);
  }
  if (encoding == Encoding::kMxFp8) {
    minifloat_codes(row, kBlock, kE4M3, rule, work.scales, out.weight);
  } else {
    minifloat_codes(row, kBlock, kE2M1, rule, work.scales, work.codes);
    pack_nibbles(work.codes, out.weight);
  }
}

// What the reference makes of a 512-block of zeros, where it divides 0 by 0.
constexpr uint8_t kNanScale = 0, kNanCodes = 0x88;

// One row of dual-scale MXFP4: `duals` gets the float scale of each `dual_block`.
void dual_row(std::span<const float> row, size_t dual_block, Numerics numerics, std::span<float> duals,
              Output out) {
  std::vector<float> scaled(dual_block);
  RowWork work(dual_block), best(dual_block);
  for (size_t k = 0; k < duals.size(); ++k) {
    const std::span<const float> values = row.subspan(k * dual_block, dual_block);
    const Output to{out.weight.subspan(k * dual_block / 2, dual_block / 2),
                    out.scale.subspan(k * work.blocks, work.blocks)};
    const float largest = absmax(values);
    auto scale_by = [&](float dual) {
      std::transform(values.begin(), values.end(), scaled.begin(), [dual](float x) { return x / dual; });
    };
    if (numerics == Numerics::kCompat) {
      duals[k] = largest / 6;
      if (duals[k] == 0) {
        std::fill(to.weight.begin(), to.weight.end(), kNanCodes);
        std::fill(to.scale.begin(), to.scale.end(), kNanScale);
        continue;
      }
      scale_by(duals[k]);
      reference_exponents(scaled, Encoding::kMxFp4, MxMethod::kDualScale, 0, Working::kF32, work);
      write_row(scaled, Encoding::kMxFp4, MiniRule::kAway, work, to);
      continue;
    }
    // The reference's own scale first: another is taken only if it is better.
    double best_error = INFINITY;
    duals[k] = 1;
    for (float top : {round_bf16(largest) / 6, largest / 5, largest / 7}) {
      if (top < 0x1p-100f || !std::isfinite(top)) continue;
      scale_by(top);
      best_exponents(scaled, Encoding::kMxFp4, work);
      double error = 0;
      for (size_t b = 0; b < work.blocks; ++b) {
        // best_errors are in units of the exponent that just holds absmax.
        const int unit = work.absmax[b] == 0 ? 0 : floor_log2(work.absmax[b]) - 2;
        error +=
            static_cast<double>(work.best_errors[b]) * mx_scale(unit) * static_cast<double>(mx_scale(unit));
      }
      error *= static_cast<double>(top) * static_cast<double>(top);
      if (error < best_error * (1 - 1e-6)) {
        best_error = error;
        duals[k] = top;
        best.exponents = work.exponents;
      }
    }
    if (best_error == INFINITY) std::fill(best.exponents.begin(), best.exponents.end(), 0);
    scale_by(duals[k]);
    write_row(scaled, Encoding::kMxFp4, MiniRule::kEven, best, to);
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
  for_each_row(linear, numerics, [&](int64_t r, std::span<const float> row, float) {
    const size_t at = static_cast<size_t>(r);
    const Output to{weight.subspan(at * weight_row, weight_row), scale.subspan(at * scale_row, scale_row)};
    if (dual) {
      const size_t duals = static_cast<size_t>(in / dual_block);
      return dual_row(row, static_cast<size_t>(dual_block), numerics,
                      result.dual_scale.as<float>().subspan(at * duals, duals), to);
    }
    RowWork& work = row_work(row.size());
    if (numerics == Numerics::kCompat) {
      reference_exponents(row, scheme.weight, method, c, Working::kBf16, work);
      write_row(row, scheme.weight, MiniRule::kAway, work, to);
    } else {
      best_exponents(row, scheme.weight, work);
      write_row(row, scheme.weight, MiniRule::kEven, work, to);
    }
  });
  return result;
}

}  // namespace wanslim
