// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm_micro.h"

namespace wanslim {

const MicroKernels* avx512_micro_kernels() {
  return nullptr;
}

}  // namespace wanslim
