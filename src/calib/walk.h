// SPDX-License-Identifier: Apache-2.0
// Walks the layers of a model in order: read, quantize, hand over, free. Several layers are on their way at a
// time, so that reading, rounding and writing overlap; never more than `memory` bytes of layers are held (or
// one layer, if that is larger). Where each row is rounded for itself the source passes in slices that stay
// in the cache (quant/row_quantizer.h), and so do tensors that stay float and are larger than `most_held`.
// What comes out of a layer depends on nothing but the layer, so neither the order nor the number of threads
// shows in the result.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "calib/input_energies.h"
#include "config/recipe.h"
#include "tensor/layer_plan.h"
#include "tensor/weight_source.h"

namespace wanslim {

inline constexpr uint64_t kMostHeld = uint64_t{512} << 20;

struct WalkJob {
  std::span<const LayerPlan> layers;   // official order
  std::span<const ProcessStep> steps;  // what LayerPlan::step counts
  Numerics numerics = Numerics::kPrecise;
  const InputEnergies* energies = nullptr;  // of the layers that have some
  uint64_t memory = uint64_t{256} << 20;
  std::function<bool(size_t layer)> skip = {};  // done already, or not wanted
  // For layers that stay float: the dtype of each of its tensors.
  std::function<DType(size_t layer, size_t tensor)> float_dtype = {};
  // For the memory bound: what the layer takes beside its source, above all what it becomes.
  std::function<uint64_t(size_t layer)> out_bytes = {};
  // Takes the values and the XXH3-128 of each source tensor. Called from several threads.
  std::function<void(size_t layer, LayerValue&&, const std::vector<std::string>& source_hashes)> sink = {};
  // The same for a tensor in slices: its rows from `first_row` on, in order, then the end.
  std::function<void(size_t layer, int64_t first_row, const Tensor& rows)> sink_rows = {};
  std::function<void(size_t layer, const std::vector<std::string>& source_hashes)> sink_end = {};
  uint64_t most_held = kMostHeld;
  uint64_t slice = uint64_t{32} << 20;     // of a large float tensor: bytes of the source, or one row
  uint64_t row_slice = uint64_t{1} << 20;  // the same of a layer that goes by rows
};

// Error: what reading, rounding or the sink throws, or kInterrupted after a signal.
void walk_layers(const WalkJob& job, const WeightSource& source, Progress& progress);

// Memory that a walk over these layers should be given: less than one transformer block, within sane bounds.
uint64_t walk_memory(std::span<const LayerPlan> layers);

// Does the layer pass in slices: one tensor that stays float and has more bytes than `most_held`?
bool in_slices(const LayerPlan& layer, uint64_t most_held = kMostHeld);

// Bytes of a layer in the source.
uint64_t source_bytes(const LayerPlan& layer);

}  // namespace wanslim
