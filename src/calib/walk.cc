// SPDX-License-Identifier: Apache-2.0
#include "calib/walk.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>

#include "base/hash.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "quant/float_tensor.h"
#include "quant/preparation.h"
#include "quant/row_quantizer.h"

namespace wanslim {
namespace {

// Layers that wait for the disk or the output's lock beside those that keep the cores busy.
constexpr int kWaiting = 2;
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

// A layer on its way.
struct Hold {
  MemoryGate& gate;
  std::atomic<int>& active;
  uint64_t bytes;
  Hold(MemoryGate& g, std::atomic<int>& a, uint64_t b) : gate(g), active(a), bytes(b) {
    gate.enter(bytes);
    ++active;
  }
  ~Hold() {
    --active;
    gate.leave(bytes);
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
};

// One call of walk_layers.
struct Walk {
  const WalkJob& job;
  const WeightSource& source;
  Progress& progress;
  std::atomic<int> active{0};  // layers on their way
  // A layer stays on the core that reads it, unless some cores have no layer of their own.
  bool serial() const { return active >= threads(); }
};

std::vector<float> energies_of(const WalkJob& job, const std::string& layer) {
  if (!job.energies) return {};
  const auto found = job.energies->find(layer);
  return found == job.energies->end() ? std::vector<float>() : found->second;
}

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
  LinearWeight linear{
      .name = layer.name, .weight = std::move(tensors[0]), .energies = energies_of(job, layer.name)};
  if (layer.has_bias) linear.bias = std::move(tensors[1]);
  value.quantized = quantize_layer(layer, std::move(linear), step, job.numerics);
  return value;
}

struct StoredRows {
  std::string name;
  Shape shape;
  DType dtype;
};

StoredRows stored(const LayerPlan& layer, size_t tensor) {
  const std::string name = layer.tensors()[tensor];
  if (tensor == 0) return {name, layer.shape, layer.dtype};
  return {name, {layer.shape[0]}, layer.bias_dtype};
}

using SliceBody = std::function<void(int64_t first, Tensor&& rows)>;

// Calls body for slices of at most `slice` bytes, or one row.
void each_slice(const Walk& walk, const StoredRows& tensor, uint64_t slice, const SliceBody& body) {
  const int64_t rows = tensor.shape[0];
  const uint64_t row_bytes =
      static_cast<uint64_t>(element_count(tensor.shape) / rows) * size_of(tensor.dtype);
  const auto step = static_cast<int64_t>(std::max<uint64_t>(1, slice / std::max<uint64_t>(1, row_bytes)));
  for (int64_t first = 0; first < rows; first += step) {
    throw_if_interrupted();
    Tensor part = walk.source.load_rows(tensor.name, first, std::min(step, rows - first));
    const SerialLoops serial(walk.serial());
    body(first, std::move(part));
  }
}

// The same as the layer's one way through: progress counts the bytes, and the checksum of all is returned.
std::string pass_slices(const Walk& walk, const StoredRows& tensor, const std::string& layer, uint64_t slice,
                        const SliceBody& body) {
  Hasher hasher;
  each_slice(walk, tensor, slice, [&](int64_t first, Tensor&& rows) {
    const uint64_t bytes = rows.bytes();
    hasher.update(rows.raw());
    body(first, std::move(rows));
    walk.progress.advance(bytes, layer);
  });
  return hasher.digest();
}

// Slices that go to the sink one by one.
void walk_float_slices(Walk& walk, size_t index) {
  const WalkJob& job = walk.job;
  const LayerPlan& layer = job.layers[index];
  const auto round = [&](int64_t first, Tensor&& rows) {
    job.sink_rows(index, first, float_tensor(rows, job.float_dtype(index, 0), layer.name, first));
  };
  job.sink_end(index, {pass_slices(walk, stored(layer, 0), layer.name, job.slice, round)});
}

// The tensor in `dtype`, rounded slice by slice.
Tensor round_rows(Walk& walk, const StoredRows& tensor, const std::string& layer, DType dtype,
                  std::string& hash) {
  Tensor whole(dtype, tensor.shape);
  std::byte* to = whole.raw().data();
  hash = pass_slices(walk, tensor, layer, walk.job.row_slice, [&](int64_t first, Tensor&& rows) {
    const Tensor rounded = float_tensor(rows, dtype, tensor.name, first);
    std::memcpy(to, rounded.raw().data(), rounded.bytes());
    to += rounded.bytes();
  });
  return whole;
}

// The layer in slices that are put together: each stays in the cache of the core that reads it, unless some
// cores have no layer of their own.
void walk_rows(Walk& walk, size_t index) {
  const WalkJob& job = walk.job;
  const LayerPlan& layer = job.layers[index];
  LayerValue value;
  std::vector<std::string> hashes(layer.tensors().size());
  if (!layer.quantized()) {
    for (size_t t = 0; t < hashes.size(); ++t)
      value.values.push_back(
          round_rows(walk, stored(layer, t), layer.name, job.float_dtype(index, t), hashes[t]));
    return job.sink(index, std::move(value), hashes);
  }
  RowQuantizer quantizer(layer, job.steps[static_cast<size_t>(layer.step)], job.numerics,
                         energies_of(job, layer.name));
  const StoredRows weight = stored(layer, 0);
  if (quantizer.looks_first())
    each_slice(walk, weight, job.row_slice, [&](int64_t, Tensor&& rows) { quantizer.look(std::move(rows)); });
  hashes[0] = pass_slices(walk, weight, layer.name, job.row_slice,
                          [&](int64_t, Tensor&& rows) { quantizer.add(std::move(rows)); });
  Tensor bias;
  if (layer.has_bias) {
    bias = walk.source.load(stored(layer, 1).name);
    hashes[1] = hash_hex(bias.raw());
    walk.progress.advance(bias.bytes(), layer.name);
  }
  value.quantized = quantizer.finish(std::move(bias));
  job.sink(index, std::move(value), hashes);
}

void walk_whole(Walk& walk, size_t index) {
  const LayerPlan& layer = walk.job.layers[index];
  std::vector<Tensor> tensors;
  std::vector<std::string> hashes;
  for (const std::string& name : layer.tensors()) {
    tensors.push_back(walk.source.load(name));
    hashes.push_back(hash_hex(tensors.back().raw()));
  }
  LayerValue value;
  {
    const SerialLoops serial(walk.serial());
    value = process(walk.job, index, std::move(tensors));
  }
  tensors.clear();  // while the result is written
  walk.job.sink(index, std::move(value), hashes);
  walk.progress.advance(source_bytes(layer), layer.name);
}

// How a layer goes through, and the bytes that this takes beside what comes out.
struct Way {
  void (*run)(Walk&, size_t index);
  uint64_t memory;
};

Way way_of(const WalkJob& job, const WeightSource& source, const LayerPlan& layer) {
  if (job.sink_rows && in_slices(layer, job.most_held)) return {walk_float_slices, 2 * job.slice};
  const std::vector<std::string> names = layer.tensors();
  const bool readable =
      element_count(layer.shape) > 0 && !layer.shape.empty() &&
      std::all_of(names.begin(), names.end(), [&](const auto& name) { return source.reads_rows(name); });
  const bool rows = readable && (!layer.quantized() ||
                                 by_rows(layer, job.steps[static_cast<size_t>(layer.step)], job.numerics));
  if (rows) return {walk_rows, 2 * job.row_slice};
  return {walk_whole, source_bytes(layer)};
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
  // What stands outside the blocks first: at the end one large tensor alone would leave the other cores idle.
  std::stable_partition(pending.begin(), pending.end(), [&](size_t i) { return job.layers[i].block < 0; });
  progress.start("quantizing", total);
  MemoryGate gate(job.memory);
  Walk walk{job, source, progress};
  std::mutex order;
  size_t next = 0;
  run_workers(threads() + kWaiting, static_cast<int64_t>(pending.size()), [&](int64_t) {
    throw_if_interrupted();
    // Layers pass the gate in order, so that none can be starved by smaller ones behind it.
    std::unique_lock turn(order);
    const size_t index = pending[next++];
    const Way way = way_of(job, source, job.layers[index]);
    Hold hold(gate, walk.active, way.memory + job.out_bytes(index));
    turn.unlock();
    way.run(walk, index);
  });
  progress.finish();
}

}  // namespace wanslim
