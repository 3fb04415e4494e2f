// SPDX-License-Identifier: Apache-2.0
// Eigenvalues and vectors of a small symmetric matrix by Jacobi rotations in a fixed order (Golub and Van
// Loan, Matrix Computations, 8.5): slow beyond some hundred rows, the same bits everywhere.
#pragma once
#include <cstddef>
#include <vector>

namespace wanslim {

struct Eigen {
  std::vector<double> values;   // falling
  std::vector<double> vectors;  // one after the other, orthonormal, in the order of the values
};

// `matrix` is symmetric, size * size, finite.
Eigen symmetric_eigen(std::vector<double> matrix, size_t size);

}  // namespace wanslim
