// SPDX-License-Identifier: Apache-2.0
#include "quant/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr int kSweeps = 30;  // about six are needed

double off_diagonal(const std::vector<double>& m, size_t size) {
  double sum = 0;
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < i; ++j) sum += m[i * size + j] * m[i * size + j];
  }
  return sum;
}

// Rows p and q of a matrix become c p - s q and s p + c q.
void turn_rows(std::vector<double>& m, size_t size, size_t p, size_t q, double c, double s) {
  for (size_t k = 0; k < size; ++k) {
    const double x = m[p * size + k], y = m[q * size + k];
    m[p * size + k] = c * x - s * y;
    m[q * size + k] = s * x + c * y;
  }
}

void turn_columns(std::vector<double>& m, size_t size, size_t p, size_t q, double c, double s) {
  for (size_t k = 0; k < size; ++k) {
    const double x = m[k * size + p], y = m[k * size + q];
    m[k * size + p] = c * x - s * y;
    m[k * size + q] = s * x + c * y;
  }
}

}  // namespace

Eigen symmetric_eigen(std::vector<double> m, size_t size) {
  CHECK(m.size() == size * size);
  std::vector<double> vectors(size * size);
  for (size_t i = 0; i < size; ++i) vectors[i * size + i] = 1;
  double whole = 0;
  for (const double x : m) whole += x * x;
  for (int sweep = 0; sweep < kSweeps && off_diagonal(m, size) > whole * 1e-30; ++sweep) {
    for (size_t p = 0; p + 1 < size; ++p) {
      for (size_t q = p + 1; q < size; ++q) {
        const double cross = m[p * size + q];
        if (cross == 0) continue;
        const double theta = (m[q * size + q] - m[p * size + p]) / (2 * cross);
        const double t = std::copysign(1.0, theta) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        turn_rows(m, size, p, q, c, s);
        turn_columns(m, size, p, q, c, s);
        turn_rows(vectors, size, p, q, c, s);
      }
    }
  }
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return m[a * size + a] > m[b * size + b]; });
  Eigen out;
  for (const size_t i : order) {
    out.values.push_back(m[i * size + i]);
    out.vectors.insert(out.vectors.end(), &vectors[i * size], &vectors[i * size] + size);
  }
  return out;
}

}  // namespace wanslim
