// SPDX-License-Identifier: Apache-2.0
#include "kernels/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/threads.h"

namespace wanslim {
namespace {

constexpr size_t kTaps = 4;

// What one output element takes from a line of the input.
struct Taps {
  std::array<int64_t, kTaps> at = {};
  std::array<float, kTaps> weight = {};
};

// Keys' cubic convolution: near for |x| <= 1, far for 1 < |x| < 2.
template <class T>
T cubic_near(T x, T a) {
  return ((a + 2) * x - (a + 3)) * x * x + 1;
}
template <class T>
T cubic_far(T x, T a) {
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

// All in float, as PyTorch computes for float tensors.
std::vector<Taps> taps_for(int64_t from, int64_t to, ResizeFilter filter) {
  std::vector<Taps> out(static_cast<size_t>(to));
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  for (size_t i = 0; i < out.size(); ++i) {
    float x = scale * (static_cast<float>(i) + 0.5f) - 0.5f;
    Taps& t = out[i];
    int64_t first = 0;
    if (filter == ResizeFilter::kBilinear) {
      x = std::max(x, 0.0f);
      first = static_cast<int64_t>(x);
      const float part = x - static_cast<float>(first);
      t.weight = {1 - part, part, 0, 0};
    } else {
      const float low = std::floor(x);
      const float part = x - low, rest = 1 - part, a = -0.75f;
      first = static_cast<int64_t>(low) - 1;
      t.weight = {cubic_far(part + 1, a), cubic_near(part, a), cubic_near(rest, a), cubic_far(rest + 1, a)};
    }
    for (size_t k = 0; k < kTaps; ++k)
      t.at[k] = std::clamp<int64_t>(first + static_cast<int64_t>(k), 0, from - 1);
  }
  return out;
}

float weigh(const Taps& t, const float* line, int64_t stride) {
  float sum = line[t.at[0] * stride] * t.weight[0];
  for (size_t k = 1; k < kTaps; ++k) sum += line[t.at[k] * stride] * t.weight[k];
  return sum;
}

// Fixed-point weights of all outputs along one axis.
struct ByteTaps {
  std::vector<int64_t> first = {};
  std::vector<std::vector<int16_t>> weights = {};
  int precision = 0;
};

double cubic_antialias(double x) {
  x = std::abs(x);
  if (x < 1) return cubic_near(x, -0.5);
  return x < 2 ? cubic_far(x, -0.5) : 0;
}

ByteTaps byte_taps_for(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0), support = 2 * stretch;
  ByteTaps out;
  std::vector<std::vector<double>> exact;
  double largest = 0;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = scale * (static_cast<double>(i) + 0.5);
    const int64_t begin = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), from);
    std::vector<double> w;
    double total = 0;
    for (int64_t j = begin; j < end; ++j) {
      w.push_back(cubic_antialias((static_cast<double>(j) - centre + 0.5) / stretch));
      total += w.back();
    }
    for (double& x : w) {
      if (total != 0) x /= total;
      largest = std::max(largest, x);
    }
    out.first.push_back(begin);
    exact.push_back(std::move(w));
  }
  // The most bits with which the largest weight still fits 16.
  while (out.precision < 22 && static_cast<int>(0.5 + largest * (2 << out.precision)) < (1 << 15))
    ++out.precision;
  for (const std::vector<double>& w : exact) {
    std::vector<int16_t> fixed;
    for (const double x : w) {
      const double v = x * (1 << out.precision);
      fixed.push_back(static_cast<int16_t>(v < 0 ? v - 0.5 : v + 0.5));
    }
    out.weights.push_back(std::move(fixed));
  }
  return out;
}

// `line` starts at the first element of the input line; `stride` apart.
uint8_t weigh_bytes(const ByteTaps& taps, size_t i, const uint8_t* line, int64_t stride) {
  int sum = 1 << (taps.precision - 1);
  const uint8_t* at = line + taps.first[i] * stride;
  for (const int16_t w : taps.weights[i]) {
    sum += w * *at;
    at += stride;
  }
  return static_cast<uint8_t>(std::clamp(sum >> taps.precision, 0, 255));
}

}  // namespace

void resize_planes(std::span<const float> src, PlaneSize from, std::span<float> dst, PlaneSize to,
                   ResizeFilter filter) {
  CHECK(from.area() > 0 && to.area() > 0 && static_cast<int64_t>(src.size()) % from.area() == 0);
  const int64_t planes = static_cast<int64_t>(src.size()) / from.area();
  CHECK(static_cast<int64_t>(dst.size()) == planes * to.area());
  const std::vector<Taps> columns = taps_for(from.width, to.width, filter);
  const std::vector<Taps> rows = taps_for(from.height, to.height, filter);
  parallel_for(planes, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> middle(static_cast<size_t>(from.height * to.width));
    for (int64_t p = begin; p < end; ++p) {
      const float* in = src.data() + p * from.area();
      float* out = dst.data() + p * to.area();
      for (int64_t y = 0; y < from.height; ++y) {
        for (int64_t x = 0; x < to.width; ++x) {
          middle[static_cast<size_t>(y * to.width + x)] =
              weigh(columns[static_cast<size_t>(x)], in + y * from.width, 1);
        }
      }
      for (int64_t y = 0; y < to.height; ++y) {
        for (int64_t x = 0; x < to.width; ++x) {
          out[y * to.width + x] = weigh(rows[static_cast<size_t>(y)], middle.data() + x, to.width);
        }
      }
    }
  });
}

void resize_rgb_antialiased(std::span<const uint8_t> src, PlaneSize from, std::span<uint8_t> dst,
                            PlaneSize to) {
  CHECK(from.area() > 0 && to.area() > 0);
  CHECK(static_cast<int64_t>(src.size()) == from.area() * 3 &&
        static_cast<int64_t>(dst.size()) == to.area() * 3);
  // An axis that keeps its length is copied, not filtered.
  std::vector<uint8_t> middle(static_cast<size_t>(from.height * to.width) * 3);
  if (from.width == to.width) {
    std::copy(src.begin(), src.end(), middle.begin());
  } else {
    const ByteTaps columns = byte_taps_for(from.width, to.width);
    for (int64_t y = 0; y < from.height; ++y) {
      for (int64_t i = 0; i < to.width * 3; ++i) {
        middle[static_cast<size_t>(y * to.width * 3 + i)] =
            weigh_bytes(columns, static_cast<size_t>(i / 3), src.data() + y * from.width * 3 + i % 3, 3);
      }
    }
  }
  if (from.height == to.height) {
    std::copy(middle.begin(), middle.end(), dst.begin());
    return;
  }
  const ByteTaps rows = byte_taps_for(from.height, to.height);
  for (int64_t y = 0; y < to.height; ++y) {
    for (int64_t i = 0; i < to.width * 3; ++i) {
      dst[static_cast<size_t>(y * to.width * 3 + i)] =
          weigh_bytes(rows, static_cast<size_t>(y), middle.data() + i, to.width * 3);
    }
  }
}

}  // namespace wanslim
