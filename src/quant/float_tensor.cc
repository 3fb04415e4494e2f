// SPDX-License-Identifier: Apache-2.0
#include "quant/float_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "kernels/convert.h"
#include "kernels/round.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kPiece = 4096;

std::string place(const Tensor& tensor, const std::string& name, int64_t index, int64_t first_row) {
  std::string inside;
  for (size_t axis = tensor.shape().size(); axis-- > 0;) {
    const int64_t at = index % tensor.dim(axis) + (axis == 0 ? first_row : 0);
    inside = std::to_string(at) + (inside.empty() ? "" : ", ") + inside;
    index /= tensor.dim(axis);
  }
  return fmt::format("{}[{}]", name, inside);
}

void widen(const Tensor& stored, int64_t first, std::span<float> out) {
  const auto begin = static_cast<size_t>(first);
  switch (stored.dtype()) {
    case DType::kF32:
      std::memcpy(out.data(), stored.as<float>().data() + begin, out.size_bytes());
      return;
    case DType::kBF16:
      widen_bf16(stored.as<uint16_t>().subspan(begin, out.size()), out);
      return;
    case DType::kF16:
      widen_f16(stored.as<uint16_t>().subspan(begin, out.size()), out);
      return;
    default:
      CHECK(false);
  }
}

void narrow(std::span<const float> values, Tensor& out, int64_t first) {
  const auto begin = static_cast<size_t>(first);
  switch (out.dtype()) {
    case DType::kF32:
      std::memcpy(out.as<float>().data() + begin, values.data(), values.size_bytes());
      return;
    case DType::kBF16:
      narrow_bf16(values, out.as<uint16_t>().subspan(begin, values.size()));
      return;
    case DType::kF16:
      std::transform(values.begin(), values.end(), out.as<uint16_t>().begin() + first, float_to_f16);
      return;
    default:
      CHECK(false);
  }
}

// The largest magnitude that rounds to a finite value.
float limit_of(DType dtype) {
  if (dtype == DType::kBF16) return 3.3895313892515355e38f + 6.6e35f;
  return dtype == DType::kF16 ? 65519.996f : std::numeric_limits<float>::max();
}

}  // namespace

Tensor float_tensor(const Tensor& stored, DType dtype, const std::string& name, int64_t first_row) {
  Tensor out(dtype, stored.shape());
  parallel_for(stored.count(), 64 * kPiece, [&](int64_t begin, int64_t end) {
    std::array<float, kPiece> buffer;
    for (int64_t first = begin; first < end; first += kPiece) {
      const std::span<float> values =
          std::span(buffer).first(static_cast<size_t>(std::min(kPiece, end - first)));
      widen(stored, first, values);
      if (!(absmax(values) <= limit_of(dtype))) {
        const auto bad = std::find_if(values.begin(), values.end(),
                                      [&](float x) { return !(std::fabs(x) <= limit_of(dtype)); });
        throw Error({.what = fmt::format(
                         "{} is {}{}", place(stored, name, first + (bad - values.begin()), first_row), *bad,
                         std::isfinite(*bad) ? fmt::format(", too large for {}", name_of(dtype)) : ""),
                     .hint = "the checkpoint is damaged; download it again or ask its author"});
      }
      narrow(values, out, first);
    }
  });
  return out;
}

}  // namespace wanslim
