// SPDX-License-Identifier: Apache-2.0
#include "quant/head_rotation.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "base/error.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr uint32_t kSeed = 1234;

std::vector<double> signs(size_t n) {
  std::mt19937 random(kSeed);
  std::vector<double> out(n);
  for (double& d : out) d = random() & 1 ? 1 : -1;
  return out;
}

// For each of `lanes` columns of values [n, lanes]: column * R.
void rotate(std::span<double> values, std::span<const double> d, size_t lanes) {
  const size_t n = d.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < lanes; ++k) values[i * lanes + k] *= d[i];
  }
  for (size_t stride = 1; stride < n; stride *= 2) {
    for (size_t i = 0; i < n; ++i) {
      if ((i & stride) != 0) continue;
      double* const a = &values[i * lanes];
      double* const b = &values[(i + stride) * lanes];
      for (size_t k = 0; k < lanes; ++k) {
        const double x = a[k], y = b[k];
        a[k] = x + y;
        b[k] = x - y;
      }
    }
  }
  const double length = std::sqrt(static_cast<double>(n));
  for (double& x : values) x /= length;
}

void rotate_rows(std::span<float> weight, size_t rows, size_t columns, size_t head) {
  constexpr size_t kLanes = 64;
  const std::vector<double> d = signs(head);
  parallel_for(static_cast<int64_t>(rows / head), 1, [&](int64_t begin, int64_t end) {
    std::vector<double> work;
    for (size_t first = static_cast<size_t>(begin) * head; first < static_cast<size_t>(end) * head;
         first += head) {
      for (size_t c = 0; c < columns; c += kLanes) {
        const size_t lanes = std::min(kLanes, columns - c);
        work.resize(head * lanes);
        for (size_t i = 0; i < head; ++i)
          std::copy_n(&weight[(first + i) * columns + c], lanes, &work[i * lanes]);
        rotate(work, d, lanes);
        for (size_t i = 0; i < head; ++i) {
          for (size_t k = 0; k < lanes; ++k)
            weight[(first + i) * columns + c + k] = static_cast<float>(work[i * lanes + k]);
        }
      }
    }
  });
}

}  // namespace

std::vector<float> reference_rotation(size_t n, Working working) {
  CHECK(std::has_single_bit(n));
  const std::vector<double> d = signs(n);
  float entry = static_cast<float>(1 / std::sqrt(static_cast<double>(n)));
  if (working == Working::kBf16) entry = round_bf16(entry);
  std::vector<float> out(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k)
      out[i * n + k] = (std::popcount(i & k) % 2 == 0 ? entry : -entry) * static_cast<float>(d[i]);
  }
  return out;
}

void rotate_heads(std::span<float> values, int head) {
  const size_t n = static_cast<size_t>(head);
  CHECK(std::has_single_bit(n) && values.size() % n == 0);
  const std::vector<double> d = signs(n);
  std::vector<double> work(n);
  for (size_t first = 0; first < values.size(); first += n) {
    std::copy_n(&values[first], n, work.begin());
    rotate(work, d, 1);
    for (size_t i = 0; i < n; ++i) values[first + i] = static_cast<float>(work[i]);
  }
}

void rotate_linear(LinearWeight& linear, int outputs, int inputs, Numerics numerics) {
  if (outputs == 0 && inputs == 0) return;
  linear.weight = weight_as_float(linear, numerics);
  const size_t rows = static_cast<size_t>(linear.out()), columns = static_cast<size_t>(linear.in());
  const std::span<float> weight = linear.weight.as<float>();
  if (inputs > 0) {
    parallel_for(linear.out(), 16, [&](int64_t begin, int64_t end) {
      rotate_heads(
          weight.subspan(static_cast<size_t>(begin) * columns, static_cast<size_t>(end - begin) * columns),
          inputs);
    });
  }
  if (outputs == 0) return;
  CHECK(rows % static_cast<size_t>(outputs) == 0);
  rotate_rows(weight, rows, columns, static_cast<size_t>(outputs));
  if (linear.bias.empty()) return;
  linear.bias = bias_as_float(linear, numerics);
  rotate_heads(linear.bias.as<float>(), outputs);
}

Tensor RotatedSource::load(std::string_view tensor) const {
  const size_t dot = tensor.rfind('.');
  const std::string layer(tensor.substr(0, dot)),
      part(dot == std::string_view::npos ? "" : tensor.substr(dot));
  const auto head_of = [&](const std::map<std::string, int64_t>& heads, size_t axis) {
    const auto found = heads.find(layer);
    if (found == heads.end() || (part != ".weight" && part != ".bias") || (part == ".bias" && axis == 1))
      return 0;
    const int64_t head = found->second, size = model_.shape(tensor)[axis];
    if (head < 1 || head > 65536 || !std::has_single_bit(static_cast<uint64_t>(head)) || size % head != 0)
      throw Error(
          {.what = fmt::format("{} channels cannot be rotated in heads of {}", size, head), .where = layer});
    return static_cast<int>(head);
  };
  const int outputs = head_of(outputs_, 0), inputs = head_of(inputs_, 1);
  if (outputs == 0 && inputs == 0) return model_.load(tensor);
  LinearWeight linear{.name = layer};
  if (part == ".weight") {
    linear.weight = model_.load(tensor);
    rotate_linear(linear, outputs, inputs, Numerics::kPrecise);
    return std::move(linear.weight);
  }
  linear.bias = model_.load(tensor);
  linear.bias = bias_as_float(linear, Numerics::kPrecise);
  rotate_heads(linear.bias.as<float>(), outputs);
  return std::move(linear.bias);
}

}  // namespace wanslim
