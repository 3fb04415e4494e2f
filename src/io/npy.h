// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy files.
//   "\x93NUMPY" | u8 major | u8 minor | u16 (version 1) or u32 header bytes | header | elements,
//   little-endian header: {'descr': '<f4', 'fortran_order': False, 'shape': (16, 21, 60, 104), }
// Versions 1 to 3. Little-endian booleans, integers and floats in C order; everything else is refused by name
// (objects would need a pickle reader).
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "io/file.h"
#include "tensor/tensor.h"

namespace wanslim {

// The tensor in `bytes`, a whole file; Error names `where`. The element count must fill the file exactly.
Tensor parse_npy(std::span<const std::byte> bytes, std::string_view where);
Tensor read_npy(const Path& path);  // files up to 4 GiB

// The header that numpy itself writes for this type and shape (version 1, padded to 64 bytes). Error for
// types that numpy does not have (BF16, F8).
std::string npy_header(DType dtype, const Shape& shape);
void write_npy(const Path& path, const Tensor& tensor);  // atomic

}  // namespace wanslim
