// SPDX-License-Identifier: Apache-2.0
// MX weights (OCP Microscaling): blocks of 32 inputs share a power of two; MXFP8 E4M3, MXFP4 E2M1 elements.
//
// In precise the exponent of every block is floor(log2(absmax)) - emax or one more, by squared error
// (kernels/mx_search.h), and elements are rounded to nearest: over a tensor this is never worse than any of
// the methods below, so in precise they give the same weights. kDualScale tries two float scales a dual
// block. In compat they compute what msModelSlim 26.1 computes (spec 4.10, 4.11): exponents from log2 in
// bf16, elements half away from zero.
#pragma once
#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

enum class MxMethod : uint8_t {
  kMinMax,    // from the widest value
  kMseRound,  // MXFP8: floor or ceil of the exponent, by error
  kCeilX,     // MXFP4: ceil(log2(absmax / c)), c = options.ceil_x_value or the best of a grid for the tensor
  kFourOverSix,  // MXFP4: absmax on 6 or on 4, by error
  kDualScale,    // MXFP4: first a float scale absmax / 6 a 512-block, then kMinMax
};

// kMxFp8 or kMxFp4, kBlock; kDual for kDualScale. `in` is a multiple of 32 (of dual_block_size for kDual).
QuantizedLinear quantize_mx(const LinearWeight& linear, const QuantScheme& scheme, MxMethod method,
                            const MethodOptions& options, Numerics numerics);

}  // namespace wanslim
