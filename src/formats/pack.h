// SPDX-License-Identifier: Apache-2.0
// How formats rearrange codes and scales. Each function has its inverse; all are plain loops over whole
// tensors.
#pragma once
#include <span>

#include "tensor/tensor.h"

namespace wanslim {

// Two int4 codes a byte: of each pair the first is the low nibble.
//   along rows    [out, in] -> [out, in / 2]: pairs are neighbours of a row
//   along columns [out, in] -> [out / 2, in]: pairs are neighbours of a column
Tensor pack_int4_along_rows(const Tensor& codes);
Tensor unpack_int4_along_rows(const Tensor& packed);
Tensor pack_int4_along_columns(const Tensor& codes);
Tensor unpack_int4_along_columns(const Tensor& packed);

// Codes of 4 or 8 bits in I32 [out, in * bits / 32 rounded up], each plus 2^(bits - 1), the first one in the
// lowest bits; what is left over is zero. `in`: the number of codes in a row, at most what there is room for.
Tensor pack_into_int32(const Tensor& codes, int bits);
Tensor unpack_from_int32(const Tensor& packed, int bits, int64_t in);

// The same bytes with their nibbles exchanged: first code in the high nibble or in the low one.
Tensor swap_nibbles(const Tensor& packed);

// Block scales as cuBLAS wants them ("1D block scaling factors layout" of its manual): rows padded to
// 128, columns to 4 with zeros, then tiles of 128 x 4 one after the other, each as 32 x 4 x 4. One byte an
// element; the result has the padded shape. `rows`, `columns`: what was there before.
Tensor to_blocked(const Tensor& scales);
Tensor from_blocked(const Tensor& blocked, int64_t rows, int64_t columns);
Shape blocked_shape(int64_t rows, int64_t columns);

// F32 rounded to BF16 or F16, or as it is.
Tensor narrowed(const Tensor& values, DType dtype = DType::kBF16);

}  // namespace wanslim
