// SPDX-License-Identifier: Apache-2.0
// One Linear of the checkpoint, and its rows as the algorithms see them: finite floats.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/recipe.h"
#include "tensor/tensor.h"

namespace wanslim {

struct LinearWeight {
  std::string name = {};  // official layer path: "blocks.3.ffn.0"
  Tensor weight = {};     // F32, BF16 or F16 [out, in]
  Tensor bias = {};       // F32, BF16 or F16 [out], or empty
  // What an error in each column counts, one a column; empty: all the same. For methods that read it.
  std::vector<float> energies = {};
  // Where only some rows of a layer are here: the index of the first, for messages, and the largest magnitude
  // of the layer, for methods that read it (RowsNeed::kAbsmax).
  int64_t first_row = 0;
  std::optional<float> absmax = {};
  int64_t out() const { return weight.dim(0); }
  int64_t in() const { return weight.dim(1); }
};

// Calls body(index, row, absmax) once for every row of the weight, from several threads, in any order. The
// row is float: the stored value, in compat rounded to bf16 as the reference loads it. Throws Error naming
// layer, row, column and value if an element is NaN or infinite (in compat also if it is too large for bf16).
using RowBody = std::function<void(int64_t index, std::span<const float> row, float absmax)>;
void for_each_row(const LinearWeight& linear, Numerics numerics, const RowBody& body);

// The same with the largest magnitudes of the row's blocks of `block` values (kernels/minifloat.h
// block_absmax), for formats that have a scale for each.
using BlockRowBody =
    std::function<void(int64_t index, std::span<const float> row, std::span<const float> block_absmax)>;
void for_each_row_in_blocks(const LinearWeight& linear, size_t block, Numerics numerics,
                            const BlockRowBody& body);

// The largest magnitude of those floats, or linear.absmax if it is known.
float absmax_of(const LinearWeight& linear, Numerics numerics);

// The whole weight in those floats, F32 [out, in], for algorithms that need every row at once.
Tensor weight_as_float(const LinearWeight& linear, Numerics numerics);

// The bias as F32 [out] (in compat a bf16 value), empty if there is none. Same errors.
Tensor bias_as_float(const LinearWeight& linear, Numerics numerics);

}  // namespace wanslim
