// SPDX-License-Identifier: Apache-2.0
#include "quant/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/threads.h"
#include "kernels/skinny_product.h"
#include "quant/symmetric_eigen.h"

namespace wanslim {
namespace {

constexpr size_t kOversampling = 8;
constexpr int kIterations = 3;

// `count` vectors of `size` doubles, one after the other.
struct Vectors {
  size_t count = 0, size = 0;
  std::vector<double> values;
  Vectors(size_t c, size_t s) : count(c), size(s), values(c * s) {}
  std::span<double> operator[](size_t i) { return std::span(values).subspan(i * size, size); }
  std::span<const double> operator[](size_t i) const { return std::span(values).subspan(i * size, size); }
};

// Always in the same order, whatever the compiler makes of it.
double dot(std::span<const double> a, std::span<const double> b) {
  constexpr size_t kLanes = 8;
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= a.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
  return std::accumulate(sums, sums + kLanes, 0.0);
}

// matrix * v, matrix F32 [rows, columns].
Vectors product(std::span<const float> matrix, size_t rows, const Vectors& v) {
  constexpr size_t kLanes = kSkinnyLanes;
  const size_t groups = (v.count + kLanes - 1) / kLanes;
  std::vector<double> vectors(groups * v.size * kLanes), sums(rows * groups * kLanes);
  for (size_t j = 0; j < v.count; ++j) {
    double* to = &vectors[(j / kLanes * v.size) * kLanes + j % kLanes];
    for (size_t i = 0; i < v.size; ++i) to[i * kLanes] = v[j][i];
  }
  skinny_product(matrix.data(), static_cast<int64_t>(rows), static_cast<int64_t>(v.size), vectors.data(),
                 static_cast<int64_t>(groups), sums.data());
  Vectors out(v.count, rows);
  for (size_t j = 0; j < v.count; ++j) {
    for (size_t r = 0; r < rows; ++r) out[j][r] = sums[r * groups * kLanes + j];
  }
  return out;
}

std::vector<float> transposed(std::span<const float> matrix, size_t rows, size_t columns) {
  std::vector<float> out(matrix.size());
  constexpr size_t kSide = 32;
  parallel_for(static_cast<int64_t>(columns), kSide, [&](int64_t begin, int64_t end) {
    for (size_t r0 = 0; r0 < rows; r0 += kSide) {
      for (size_t c = static_cast<size_t>(begin); c < static_cast<size_t>(end); ++c) {
        for (size_t r = r0; r < std::min(r0 + kSide, rows); ++r) out[c * rows + r] = matrix[r * columns + c];
      }
    }
  });
  return out;
}

// v[j] without its parts along the vectors before it, which are orthonormal.
void project_out(Vectors& v, size_t j, std::span<double> parts) {
  parallel_for(static_cast<int64_t>(j), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parts[static_cast<size_t>(i)] = dot(v[static_cast<size_t>(i)], v[j]);
  });
  parallel_for(static_cast<int64_t>(v.size), 1024, [&](int64_t begin, int64_t end) {
    const size_t first = static_cast<size_t>(begin), size = static_cast<size_t>(end - begin);
    double* const to = v[j].data() + first;
    for (size_t i = 0; i < j; ++i) {
      const double* const from = v[i].data() + first;
      for (size_t e = 0; e < size; ++e) to[e] -= parts[i] * from[e];
    }
  });
}

// Gram-Schmidt, twice; what depends on the vectors before it becomes zero.
void orthonormalize(Vectors& v) {
  std::vector<double> parts(v.count);
  for (size_t j = 0; j < v.count; ++j) {
    const double before = std::sqrt(dot(v[j], v[j]));
    for (int pass = 0; pass < 2; ++pass) project_out(v, j, parts);
    const double length = std::sqrt(dot(v[j], v[j]));
    const double factor = length > before * 1e-12 ? 1 / length : 0;
    for (double& x : v[j]) x *= factor;
  }
}

// Uniform in (-1, 1): splitmix64.
Vectors start(size_t count, size_t size) {
  Vectors v(count, size);
  uint64_t state = 42;
  for (double& x : v.values) {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    x = static_cast<double>(static_cast<int64_t>(z ^ z >> 31)) * 0x1p-63;
  }
  return v;
}

}  // namespace

LowRank truncated_svd(const Tensor& matrix, int64_t rank) {
  const size_t out = static_cast<size_t>(matrix.dim(0)), in = static_cast<size_t>(matrix.dim(1));
  const size_t wanted = static_cast<size_t>(rank), count = std::min({wanted + kOversampling, out, in});
  CHECK(wanted > 0 && wanted <= count);
  const std::span<const float> w = matrix.as<float>();
  const std::vector<float> wt = transposed(w, out, in);
  Vectors range = product(w, out, start(count, in));
  orthonormalize(range);
  for (int i = 0; i < kIterations; ++i) {
    Vectors back = product(wt, in, range);
    orthonormalize(back);
    range = product(w, out, back);
    orthonormalize(range);
  }
  // Within that range: B = range^T W, whose left singular vectors are the eigenvectors of B B^T.
  const Vectors b = product(wt, in, range);
  std::vector<double> gram(count * count);
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j <= i; ++j) gram[i * count + j] = gram[j * count + i] = dot(b[i], b[j]);
  }
  const Eigen eigen = symmetric_eigen(gram, count);
  LowRank result{.up = Tensor(DType::kF32, {matrix.dim(0), rank}),
                 .down = Tensor(DType::kF32, {rank, matrix.dim(1)})};
  const std::span<float> up = result.up.as<float>(), down = result.down.as<float>();
  std::vector<double> sum;
  for (size_t k = 0; k < wanted; ++k) {
    const double* const u = &eigen.vectors[k * count];
    sum.assign(out, 0);
    for (size_t j = 0; j < count; ++j) {
      for (size_t r = 0; r < out; ++r) sum[r] += range[j][r] * u[j];
    }
    const double sigma = std::sqrt(std::max(eigen.values[k], 0.0));
    for (size_t r = 0; r < out; ++r) up[r * wanted + k] = static_cast<float>(sum[r] * sigma);
    sum.assign(in, 0);
    for (size_t j = 0; j < count; ++j) {
      for (size_t c = 0; c < in; ++c) sum[c] += b[j][c] * u[j];
    }
    for (size_t c = 0; c < in; ++c) down[k * in + c] = sigma > 0 ? static_cast<float>(sum[c] / sigma) : 0;
  }
  return result;
}

}  // namespace wanslim
