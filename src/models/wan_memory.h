// SPDX-License-Identifier: Apache-2.0
// How much memory a Wan2.1 transformer takes: what a plan shows and what a limit leaves for blocks.
#pragma once
#include <cstdint>

#include "config/wan_variants.h"
#include "nn/rows.h"
#include "tensor/weight_source.h"

namespace wanslim {

// What is run together, for the largest forward.
struct WanLoad {
  int64_t tokens = 0;     // T * h/2 * w/2
  int64_t text_rows = 0;  // of the longest prompt
  int64_t prompts = 1;    // whose cross attention keys are kept
  int64_t together = 1;   // forwards that share a pass over the blocks
};

constexpr uint64_t kProcessMemory = 120'000'000;  // program, libraries, scratch memory of the threads

struct WanMemory {
  uint64_t fixed = 0;    // embeddings and head
  uint64_t rows = 0;     // activations
  uint64_t prompts = 0;  // cached keys and values
  uint64_t block = 0;    // the largest block, packed
  uint64_t loading = 0;  // what loading needs beside the block
  int64_t blocks = 0;    // how many there are
  uint64_t total() const { return fixed + rows + prompts + loading + block * static_cast<uint64_t>(blocks); }
  uint64_t least() const { return fixed + rows + prompts + loading + block; }
};

// From shapes and dtypes alone; quantized Linears are counted by their codes.
WanMemory estimate_memory(const WeightSource& source, const WanGeometry& geometry, Compute compute,
                          const WanLoad& load);

// What loading tensors one after the other needs beside the packed ones, the largest of `largest` bytes: as
// stored, in the compute dtype, packed, and what waits for reuse.
uint64_t loading_memory(uint64_t largest);

// The budget for BlockStore under `limit` bytes; 0 (no limit) if everything fits. Error of kind kUsage that
// says how much is needed if not even one block fits.
uint64_t block_budget(const WanMemory& memory, uint64_t limit);

}  // namespace wanslim
