// SPDX-License-Identifier: Apache-2.0
#include "models/wan_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "models/names.h"
#include "tensor/buffer_pool.h"

namespace wanslim {
namespace {

// Bytes of a parameter once it is ready for use. `island`: float in every mode.
uint64_t ready_bytes(const WeightSource& source, const TensorSpec& spec, Compute compute, bool island) {
  uint64_t count = 1;
  for (int64_t extent : spec.shape) count *= static_cast<uint64_t>(extent);
  const bool matrix = spec.role == TensorRole::kLinearWeight || spec.role == TensorRole::kConvWeight;
  const bool narrow =
      matrix && (source.dtype(spec.name) == DType::kBF16 || (compute == Compute::kBF16 && !island));
  return count * (narrow ? 2 : 4);
}

}  // namespace

WanMemory estimate_memory(const WeightSource& source, const WanGeometry& g, Compute compute,
                          const WanLoad& load) {
  WanMemory memory;
  std::map<std::string, uint64_t> blocks;
  uint64_t largest = 0;
  for (const TensorSpec& spec : tensor_specs(g)) {
    const bool island = spec.name.starts_with("time_") || spec.name.starts_with("head.");
    const uint64_t bytes = ready_bytes(source, spec, compute, island);
    (spec.in_block() ? blocks[spec.unit] : memory.fixed) += bytes;
    if (spec.in_block()) largest = std::max(largest, bytes);
  }
  for (const auto& [unit, bytes] : blocks) memory.block = std::max(memory.block, bytes);
  memory.blocks = static_cast<int64_t>(blocks.size());
  memory.loading = loading_memory(largest);
  const uint64_t element = compute == Compute::kF32 ? 4 : 2;
  const uint64_t tokens = static_cast<uint64_t>(load.tokens), dim = static_cast<uint64_t>(g.dim);
  const uint64_t hidden = std::min<uint64_t>(tokens, 1536) * static_cast<uint64_t>(g.ffn_dim) * element;
  const uint64_t streams = g.vace_layers.empty() ? 1 : 3;
  // x is float; normed, q, k, v and packed k, v in the compute dtype.
  memory.rows = tokens * dim * (4 * streams * static_cast<uint64_t>(load.together) + 7 * element) + hidden +
                kProcessMemory;
  const uint64_t image =
      g.has_image_condition ? static_cast<uint64_t>(g.image_tokens * (g.has_image_position ? 2 : 1)) : 0;
  memory.prompts = static_cast<uint64_t>(load.prompts) * blocks.size() *
                   (static_cast<uint64_t>(load.text_rows) + 64 + image) * dim * 2 * element;
  return memory;
}

uint64_t loading_memory(uint64_t largest) {
  return 3 * largest + std::min<uint64_t>(kMostIdleBytes, 3 * largest);
}

uint64_t block_budget(const WanMemory& memory, uint64_t limit) {
  if (limit == 0 || limit >= memory.total()) return 0;
  if (limit < memory.least()) {
    throw Error{{.what = fmt::format(
                     "{:.2f} GB are too few: one block, the embeddings and the rows of this size take "
                     "{:.2f} GB",
                     static_cast<double>(limit) / 1e9, static_cast<double>(memory.least()) / 1e9),
                 .where = "--memory",
                 .hint = "give more memory, fewer frames or a smaller size",
                 .kind = Error::Kind::kUsage}};
  }
  return limit - (memory.least() - memory.block);
}

}  // namespace wanslim
