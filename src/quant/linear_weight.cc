// SPDX-License-Identifier: Apache-2.0
#include "quant/linear_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/threads.h"
#include "kernels/convert.h"
#include "kernels/minifloat.h"
#include "kernels/round.h"

namespace wanslim {
namespace {

// `count` elements from `first` on as float; a view of the tensor itself where that needs no conversion.
std::span<const float> as_floats(const Tensor& tensor, int64_t first, int64_t count, Numerics numerics,
                                 std::span<float> scratch) {
  const size_t begin = static_cast<size_t>(first), size = static_cast<size_t>(count);
  switch (tensor.dtype()) {
    case DType::kBF16:
      widen_bf16(tensor.as<uint16_t>().subspan(begin, size), scratch);
      return scratch;
    case DType::kF16:
      widen_f16(tensor.as<uint16_t>().subspan(begin, size), scratch);
      if (numerics == Numerics::kCompat) round_bf16(scratch, scratch);
      return scratch;
    case DType::kF32: {
      const std::span<const float> stored = tensor.as<float>().subspan(begin, size);
      if (numerics == Numerics::kPrecise) return stored;
      round_bf16(stored, scratch);
      return scratch;
    }
    default:
      throw Error({.what = fmt::format("a weight of dtype {} cannot be quantized", name_of(tensor.dtype())),
                   .where = {},
                   .hint = "checkpoints in F32, BF16 and F16 can"});
  }
}

[[noreturn]] void refuse(const Tensor& tensor, const std::string& name, int64_t first, int64_t first_row,
                         std::span<const float> values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
  const int64_t index = first + (bad - values.begin());
  const std::string at =
      tensor.shape().size() == 2
          ? fmt::format("{}[{}, {}]", name, first_row + index / tensor.dim(1), index % tensor.dim(1))
          : fmt::format("{}[{}]", name, index);
  const bool stored_finite =
      tensor.dtype() == DType::kF32 && std::isfinite(tensor.as<float>()[static_cast<size_t>(index)]);
  if (stored_finite) {
    throw Error({.what = fmt::format("{} is {}, too large for bf16", at,
                                     tensor.as<float>()[static_cast<size_t>(index)]),
                 .where = {},
                 .hint = "the checkpoint is damaged, or use --numerics precise"});
  }
  throw Error({.what = fmt::format("{} is {}", at,
                                   std::isnan(*bad) ? "NaN"
                                   : *bad > 0       ? "infinite"
                                                    : "-infinite"),
               .where = {},
               .hint = "the checkpoint is damaged; download it again or ask its author"});
}

// Calls body(first row, one after the last, a function that gives a row) for ranges of rows.
template <class Body>
void for_each_range(const LinearWeight& linear, Numerics numerics, const Body& body) {
  CHECK(linear.weight.shape().size() == 2);
  const int64_t in = linear.in();
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, in));
  parallel_for(linear.out(), grain, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(in));
    body(begin, end, [&](int64_t r) { return as_floats(linear.weight, r * in, in, numerics, scratch); });
  });
}

[[noreturn]] void refuse_row(const LinearWeight& linear, int64_t r, std::span<const float> row) {
  refuse(linear.weight, linear.name + ".weight", r * linear.in(), linear.first_row, row);
}

}  // namespace

void for_each_row(const LinearWeight& linear, Numerics numerics, const RowBody& body) {
  for_each_range(linear, numerics, [&](int64_t begin, int64_t end, const auto& row_at) {
    for (int64_t r = begin; r < end; ++r) {
      const std::span<const float> row = row_at(r);
      const float largest = absmax(row);
      if (!std::isfinite(largest)) refuse_row(linear, r, row);
      body(r, row, largest);
    }
  });
}

void for_each_row_in_blocks(const LinearWeight& linear, size_t block, Numerics numerics,
                            const BlockRowBody& body) {
  for_each_range(linear, numerics, [&](int64_t begin, int64_t end, const auto& row_at) {
    std::vector<float> largest(static_cast<size_t>(linear.in()) / block);
    for (int64_t r = begin; r < end; ++r) {
      const std::span<const float> row = row_at(r);
      block_absmax(row, block, largest);
      if (!std::all_of(largest.begin(), largest.end(), [](float x) { return std::isfinite(x); }))
        refuse_row(linear, r, row);
      body(r, row, largest);
    }
  });
}

float absmax_of(const LinearWeight& linear, Numerics numerics) {
  if (linear.absmax) return *linear.absmax;
  std::vector<float> largest(static_cast<size_t>(linear.out()));
  for_each_row(linear, numerics, [&](int64_t r, std::span<const float>, float row_absmax) {
    largest[static_cast<size_t>(r)] = row_absmax;
  });
  return *std::max_element(largest.begin(), largest.end());
}

Tensor weight_as_float(const LinearWeight& linear, Numerics numerics) {
  Tensor all(DType::kF32, linear.weight.shape());
  const std::span<float> to = all.as<float>();
  const size_t in = static_cast<size_t>(linear.in());
  for_each_row(linear, numerics, [&](int64_t r, std::span<const float> row, float) {
    std::copy(row.begin(), row.end(), to.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(r) * in));
  });
  return all;
}

Tensor bias_as_float(const LinearWeight& linear, Numerics numerics) {
  if (linear.bias.empty()) return {};
  Tensor bias(DType::kF32, linear.bias.shape());
  const std::span<float> to = bias.as<float>();
  const std::span<const float> values = as_floats(linear.bias, 0, linear.bias.count(), numerics, to);
  if (!std::isfinite(absmax(values))) refuse(linear.bias, linear.name + ".bias", 0, 0, values);
  if (values.data() != to.data()) std::copy(values.begin(), values.end(), to.begin());
  return bias;
}

}  // namespace wanslim
