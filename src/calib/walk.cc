// SPDX-License-Identifier: Apache-2.0
#include "calib/walk.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>

#include "base/hash.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "quant/float_tensor.h"
#include "quant/preparation.h"

namespace wanslim {
namespace {

// One layer is read, one rounded, one written.
constexpr int kStages = 3;
constexpr uint64_t kLeastMemory = uint64_t{64} << 20;
constexpr uint64_t kMostMemory = uint64_t{1000} << 20;

// Lets a layer in when its bytes fit, or when it is alone.
class MemoryGate {
 public:
  explicit MemoryGate(uint64_t limit) : limit_(limit) {}
  void enter(uint64_t bytes) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return used_ == 0 || used_ + bytes <= limit_; });
    used_ += bytes;
  }
  void leave(uint64_t bytes) {
    {
      std::lock_guard lock(mutex_);
      used_ -= bytes;
    }
    freed_.notify_all();
  }

 private:
  const uint64_t limit_;
  uint64_t used_ = 0;
  std::mutex mutex_;
  std::condition_variable freed_;
};

struct Hold {
  MemoryGate& gate;
  uint64_t bytes;
  Hold(MemoryGate& g, uint64_t b) : gate(g), bytes(b) { gate.enter(bytes); }
  ~Hold() { gate.leave(bytes); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
};

LayerValue process(const WalkJob& job, size_t index, std::vector<Tensor>&& tensors) {
  const LayerPlan& layer = job.layers[index];
  LayerValue value;
  if (!layer.quantized()) {
    const std::vector<std::string> names = layer.tensors();
    for (size_t t = 0; t < tensors.size(); ++t) {
      value.values.push_back(float_tensor(tensors[t], job.float_dtype(index, t), names[t]));
    }
    return value;
  }
  const ProcessStep& step = job.steps[static_cast<size_t>(layer.step)];
  LinearWeight linear{.name = layer.name, .weight = std::move(tensors[0])};
  if (layer.has_bias) linear.bias = std::move(tensors[1]);
  if (job.energies) {
    if (const auto found = job.energies->find(layer.name); found != job.energies->end())
      linear.energies = found->second;
  }
  value.quantized = quantize_layer(layer, std::move(linear), step, job.numerics);
  return value;
}

void walk_slices(const WalkJob& job, size_t index, const WeightSource& source, std::mutex& compute,
                 Progress& progress) {
  const LayerPlan& layer = job.layers[index];
  const uint64_t row_bytes = source_bytes(layer) / static_cast<uint64_t>(layer.shape[0]);
  const auto step = static_cast<int64_t>(std::max<uint64_t>(1, job.slice / std::max<uint64_t>(1, row_bytes)));
  Hasher hasher;
  for (int64_t first = 0; first < layer.shape[0]; first += step) {
    throw_if_interrupted();
    const Tensor rows = source.load_rows(layer.name, first, std::min(step, layer.shape[0] - first));
    hasher.update(rows.raw());
    Tensor rounded;
    {
      std::lock_guard one(compute);
      rounded = float_tensor(rows, job.float_dtype(index, 0), layer.name, first);
    }
    job.sink_rows(index, first, rounded);
    progress.advance(rows.bytes(), layer.name);
  }
  job.sink_end(index, {hasher.digest()});
}

}  // namespace

bool in_slices(const LayerPlan& layer, uint64_t most_held) {
  return !layer.linear && !layer.quantized() && layer.shape.size() > 1 && source_bytes(layer) > most_held;
}

uint64_t source_bytes(const LayerPlan& layer) {
  uint64_t bytes = static_cast<uint64_t>(element_count(layer.shape)) * size_of(layer.dtype);
  if (layer.has_bias) bytes += static_cast<uint64_t>(layer.shape[0]) * size_of(layer.bias_dtype);
  return bytes;
}

uint64_t walk_memory(std::span<const LayerPlan> layers) {
  std::map<int, uint64_t> blocks;
  for (const LayerPlan& layer : layers) blocks[layer.block] += source_bytes(layer);
  blocks.erase(-1);
  uint64_t largest = 0;
  for (const auto& [block, bytes] : blocks) largest = std::max(largest, bytes);
  return std::clamp(largest * 3 / 4, kLeastMemory, kMostMemory);
}

void walk_layers(const WalkJob& job, const WeightSource& source, Progress& progress) {
  std::vector<size_t> pending;
  uint64_t total = 0;
  for (size_t i = 0; i < job.layers.size(); ++i) {
    if (job.skip(i)) continue;
    pending.push_back(i);
    total += source_bytes(job.layers[i]);
  }
  progress.start("quantizing", total);
  MemoryGate gate(job.memory);
  std::mutex order, compute;
  size_t next = 0;
  run_workers(kStages, static_cast<int64_t>(pending.size()), [&](int64_t) {
    throw_if_interrupted();
    // Layers pass the gate in order, so that none can be starved by smaller ones behind it.
    std::unique_lock turn(order);
    const size_t index = pending[next++];
    const LayerPlan& layer = job.layers[index];
    const bool sliced = job.sink_rows && in_slices(layer, job.most_held);
    Hold hold(gate, sliced ? 2 * job.slice : source_bytes(layer) + job.out_bytes(index));
    turn.unlock();
    if (sliced) return walk_slices(job, index, source, compute, progress);
    std::vector<Tensor> tensors;
    std::vector<std::string> hashes;
    for (const std::string& name : layer.tensors()) {
      tensors.push_back(source.load(name));
      hashes.push_back(hash_hex(tensors.back().raw()));
    }
    LayerValue value;
    {
      // Rounding uses all threads by itself; two layers at once would only fight for them.
      std::lock_guard one(compute);
      value = process(job, index, std::move(tensors));
    }
    tensors.clear();
    job.sink(index, std::move(value), hashes);
    progress.advance(source_bytes(layer), layer.name);
  });
  progress.finish();
}

}  // namespace wanslim
