// SPDX-License-Identifier: Apache-2.0
// The Wan2.1 transformer: noisy latent, timestep and prompt in, velocity out (spec wan-forward A3).
//
//   WanDit dit(source, geometry, {.compute = Compute::kBF16});
//   WanPrompt prompt = dit.embed_prompt(text, clip);               // once per prompt; caches its keys and
//   values Tensor v = dit.forward({.latent = &x, .timestep = 999}, prompt);
//
// or block by block, as calibration does:
//
//   WanState state = dit.start(input, prompt);
//   for (int64_t u = 0; u < dit.units(); ++u) dit.run(*dit.block(u), state, prompt, pass);
//   Tensor v = dit.finish(state);
//
// What a model has (image condition, position of images, VACE) are facts of its geometry. Results have the
// same bits for any thread count and any memory budget. One thread at a time.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/block_store.h"
#include "models/wan_block.h"
#include "models/wan_embed.h"

namespace wanslim {

// Inputs of one forward; the tensors must live during the call. Float tensors of any float dtype.
struct WanInput {
  const Tensor* latent = nullptr;     // [16, T, h, w]
  const Tensor* condition = nullptr;  // y, [20, T, h, w]: mask and latent of the images; image condition only
  const Tensor* vace_context = nullptr;  // [96, T, h, w]; VACE only
  float vace_scale = 1.0f;
  double timestep = 0;
};

// A prompt, embedded, with the keys and values of every block that has seen it.
struct WanPrompt {
  WanContext context;
  std::vector<std::unique_ptr<WanCrossKeys>> keys;  // by unit
  size_t bytes() const;
};

// A forward on its way.
struct WanState {
  RowBuffer x = {};                    // [tokens, dim], float
  RowBuffer vace = {}, hint = {};      // VACE: running c (float), hint of its last block in the compute dtype
  std::vector<float> e = {}, e0 = {};  // time embedding [dim], its projection [6 * dim]
  RopeGrid rope = {};
  float vace_scale = 1.0f;
  bool first = true, vace_first = true;  // x (vace) holds bf16 values still
};

class WanDit {
 public:
  struct Options {
    Compute compute = Compute::kBF16;
    uint64_t block_budget = 0;  // bytes for blocks, see BlockStore; 0: no limit
  };
  // Throws Error for tensors that are absent or misshapen; blocks are loaded later.
  WanDit(std::shared_ptr<const WeightSource> source, const WanGeometry& geometry, const Options& options);

  // text [n, text_dim], 1 <= n <= text_len, without padding; clip [images * 257, clip width], null without
  // image condition. Throws Error if they do not fit the model.
  WanPrompt embed_prompt(const Tensor& text, const Tensor* clip, const Pass& pass = {}) const;

  // Throws Error if the sizes do not fit the model.
  WanState start(const WanInput& input, const Pass& pass = {}) const;
  // Units are blocks in the order of their running: a VACE block stands before the base block that takes its
  // hint, the first VACE block before all.
  int64_t units() const { return static_cast<int64_t>(units_.size()); }
  const std::string& unit_path(int64_t unit) const { return units_[static_cast<size_t>(unit)].path; }
  std::shared_ptr<const WanBlock> block(int64_t unit) { return store_.get(unit); }
  // A tap that wants values sees what WanBlock::forward shows; "<path>.out" again if a hint was added.
  void run(int64_t unit, const WanBlock& block, WanState& state, WanPrompt& prompt, const Pass& pass = {});
  // Velocity [16, T, h, w], float.
  Tensor finish(WanState& state, const Pass& pass = {}) const;

  // All of it; for several inputs, each block is fetched once and run for all of them.
  Tensor forward(const WanInput& input, WanPrompt& prompt, const Pass& pass = {});
  std::vector<Tensor> forward(std::span<const WanInput> inputs, std::span<WanPrompt* const> prompts,
                              const Pass& pass = {});

  const WanGeometry& geometry() const { return geometry_; }
  Compute compute() const { return compute_; }

 private:
  struct Unit {
    std::string path;
    bool vace = false;
    int64_t hint_for = -1;  // VACE: the base block that takes its hint
    int64_t block = 0;      // number within its list
  };
  static std::vector<Unit> list_units(const WanGeometry& geometry);
  void run_vace(const Unit& unit, const WanBlock& block, const WanBlockCall& call, WanState& state);
  void add_hint(WanState& state) const;

  std::shared_ptr<const WeightSource> source_;
  WanGeometry geometry_;
  Compute compute_;
  WanEmbed embed_;
  WanHead head_;
  std::vector<Unit> units_;
  BlockStore store_;
  WanWorkspace work_;
};

}  // namespace wanslim
