// SPDX-License-Identifier: Apache-2.0
// Plain-loop twins of the kernels of neural networks, summed in double: what the fast ones are tested
// against.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/activation.h"

namespace wanslim::reference {

// sum[i, j] = a[i, :] * weight[j, :], a [m, k], weight [n, k].
std::vector<double> matmul(std::span<const float> a, std::span<const float> weight, int64_t m, int64_t n,
                           int64_t k);

double activate(Activation activation, double x);

// Softmax attention as in attention.h, all rows [.., heads * head_dim].
std::vector<double> attention(std::span<const float> q, std::span<const float> k, std::span<const float> v,
                              int64_t heads, int64_t head_dim, double scale);

// The twin of add_low_rank, in float as that.
void add_low_rank(std::span<float> weight, std::span<const float> up, std::span<const float> down,
                  int64_t rank, float scale);

// The twin of skinny_product, in double as that.
std::vector<double> skinny_product(std::span<const float> matrix, int64_t rows, int64_t columns,
                                   std::span<const double> vectors, int64_t groups);

// One row, softmax(x + bias); the bias may be empty.
std::vector<double> softmax(std::span<const float> x, std::span<const float> bias);

// Rows of `width` values; weight and bias may be empty.
std::vector<double> layer_norm(std::span<const float> x, int64_t width, double eps,
                               std::span<const float> weight, std::span<const float> bias);
std::vector<double> rms_norm(std::span<const float> x, int64_t width, double eps,
                             std::span<const float> weight);

}  // namespace wanslim::reference
