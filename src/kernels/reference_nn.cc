// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference_nn.h"

#include <algorithm>
#include <cmath>

#include "kernels/skinny_product.h"

namespace wanslim::reference {

std::vector<double> matmul(std::span<const float> a, std::span<const float> weight, int64_t m, int64_t n,
                           int64_t k) {
  std::vector<double> sums(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += double{a[i * k + p]} * double{weight[j * k + p]};
      sums[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  return sums;
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return x;
}

std::vector<double> attention(std::span<const float> q, std::span<const float> k, std::span<const float> v,
                              int64_t heads, int64_t head_dim, double scale) {
  const int64_t width = heads * head_dim, queries = static_cast<int64_t>(q.size()) / width;
  const int64_t keys = static_cast<int64_t>(k.size()) / width;
  std::vector<double> out(q.size()), weights(static_cast<size_t>(keys));
  for (int64_t i = 0; i < queries; ++i) {
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t column = head * head_dim;
      double highest = -INFINITY, total = 0;
      for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int64_t c = 0; c < head_dim; ++c) {
          score += double{q[i * width + column + c]} * double{k[j * width + column + c]};
        }
        weights[j] = score * scale;
        highest = std::max(highest, weights[j]);
      }
      for (double& w : weights) total += w = std::exp(w - highest);
      for (int64_t j = 0; j < keys; ++j) {
        for (int64_t c = 0; c < head_dim; ++c) {
          out[i * width + column + c] += weights[j] / total * double{v[j * width + column + c]};
        }
      }
    }
  }
  return out;
}

void add_low_rank(std::span<float> weight, std::span<const float> up, std::span<const float> down,
                  int64_t rank, float scale) {
  const auto width = static_cast<size_t>(rank);
  const size_t in = down.size() / width, out = up.size() / width;
  for (size_t o = 0; o < out; ++o) {
    for (size_t i = 0; i < in; ++i) {
      float sum = 0;
      for (size_t r = 0; r < width; ++r) sum += up[o * width + r] * down[r * in + i];
      weight[o * in + i] += scale * sum;
    }
  }
}

std::vector<double> skinny_product(std::span<const float> matrix, int64_t rows, int64_t columns,
                                   std::span<const double> vectors, int64_t groups) {
  const auto width = static_cast<size_t>(columns), count = static_cast<size_t>(groups);
  std::vector<double> out(static_cast<size_t>(rows) * count * kSkinnyLanes);
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t row = i / kSkinnyLanes / count, group = i / kSkinnyLanes % count, lane = i % kSkinnyLanes;
    for (size_t c = 0; c < width; ++c)
      out[i] += double{matrix[row * width + c]} * vectors[(group * width + c) * kSkinnyLanes + lane];
  }
  return out;
}

std::vector<double> softmax(std::span<const float> x, std::span<const float> bias) {
  std::vector<double> out(x.begin(), x.end());
  for (size_t i = 0; i < bias.size(); ++i) out[i] += double{bias[i]};
  const double highest = *std::max_element(out.begin(), out.end());
  double total = 0;
  for (double& value : out) total += value = std::exp(value - highest);
  for (double& value : out) value /= total;
  return out;
}

std::vector<double> layer_norm(std::span<const float> x, int64_t width, double eps,
                               std::span<const float> weight, std::span<const float> bias) {
  std::vector<double> y(x.begin(), x.end());
  for (size_t row = 0; row < y.size(); row += static_cast<size_t>(width)) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) mean += y[row + i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      variance += (y[row + i] - mean) * (y[row + i] - mean) / static_cast<double>(width);
    }
    for (int64_t i = 0; i < width; ++i) {
      double& v = y[row + i];
      v = (v - mean) / std::sqrt(variance + eps);
      if (!weight.empty()) v = v * double{weight[i]} + double{bias[i]};
    }
  }
  return y;
}

std::vector<double> rms_norm(std::span<const float> x, int64_t width, double eps,
                             std::span<const float> weight) {
  std::vector<double> y(x.begin(), x.end());
  for (size_t row = 0; row < y.size(); row += static_cast<size_t>(width)) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += y[row + i] * y[row + i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) y[row + i] *= double{weight[i]} / std::sqrt(squares + eps);
  }
  return y;
}

}  // namespace wanslim::reference
