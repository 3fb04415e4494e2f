// SPDX-License-Identifier: Apache-2.0
// The umT5 text encoder (spec A4, A9.3): token ids of a prompt -> one row of features per token.
//
//   const NamedCheckpoint weights = open_umt5("Wan2.1-T2V-1.3B");
//   Umt5Encoder encoder(weights, {.compute = Compute::kBF16});
//   std::vector<Tensor> features = encoder.encode({{ids_of_prompt, ids_of_negative_prompt}});   // [tokens,
//   dim]
//
// Only the tokens that are there are computed: padding has no influence on them. kF32: everything in float.
// kBF16: the official arithmetic, every operation rounded to bf16. Blocks are read one after the other, so
// memory holds one block (0.4 GB of umT5-xxl in bf16) unless the weights are kept. Same bits for any number
// of threads.
//
// Values shown to a tap: "blocks.N.norm1", "blocks.N.attn", "blocks.N.norm2", "blocks.N.ffn", "blocks.N.out".
#pragma once
#include <span>
#include <vector>

#include "models/named_checkpoint.h"
#include "models/umt5_names.h"
#include "nn/linear.h"

namespace wanslim {

// A checkpoint file (.pth or .safetensors, official or transformers names), or a folder that holds the
// official one. Error if it is no umT5 encoder.
NamedCheckpoint open_umt5(const Path& path);

struct Umt5Options {
  Compute compute = Compute::kBF16;
  bool keep_weights = false;  // packed, in memory: 11 GB of umT5-xxl in bf16
};

class Umt5Encoder {
 public:
  // `weights` have official names and outlive this. Error naming a tensor that is missing or misshapen.
  explicit Umt5Encoder(const WeightSource& weights, const Umt5Options& options = {});
  ~Umt5Encoder();
  Umt5Encoder(Umt5Encoder&&) noexcept;

  const Umt5Geometry& geometry() const { return geometry_; }

  // [tokens, dim] in the dtype of the compute mode, for each prompt. All prompts go through a block together.
  // Error if an id is outside the vocabulary, a prompt is empty, or a value is no longer finite (naming the
  // block).
  std::vector<Tensor> encode(std::span<const std::vector<int32_t>> prompts, const Pass& pass = {}) const;

 private:
  struct Block;
  Block load_block(int64_t index) const;
  RowBuffer embed(std::span<const std::vector<int32_t>> prompts) const;
  void attend(const Block& block, std::span<const int64_t> starts, const Rows& normed, RowBuffer& x,
              const Pass& pass) const;
  void feed_forward(const Block& block, const Rows& normed, RowBuffer& x, const Pass& pass) const;
  void run_block(const Block& block, std::span<const int64_t> starts, RowBuffer& x, const Pass& pass) const;

  const WeightSource& weights_;
  Umt5Options options_;
  Umt5Geometry geometry_;
  std::vector<Block> kept_;
};

// The bucket of a relative position key - query (t5.py, bidirectional): half of the buckets for each sign,
// the first half of those exact, the rest logarithmic up to kUmt5MaxDistance.
int64_t umt5_bucket(int64_t relative, int64_t buckets);

}  // namespace wanslim
