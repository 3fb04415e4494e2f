// SPDX-License-Identifier: Apache-2.0
#include "calib/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "quant/methods.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 101, kColumns = 7;

// A table of numbers that counts the rows that were asked for together.
struct Table : WeightSource {
  Tensor whole{DType::kF32, {kRows, kColumns}};
  mutable int64_t most_rows = 0;
  Table() {
    for (size_t i = 0; i < whole.as<float>().size(); ++i) whole.as<float>()[i] = static_cast<float>(i) / 8;
  }
  bool has(std::string_view) const override { return true; }
  Shape shape(std::string_view) const override { return whole.shape(); }
  DType dtype(std::string_view) const override { return DType::kF32; }
  Tensor load(std::string_view) const override { return whole.clone(); }
  Tensor load_rows(std::string_view, int64_t first, int64_t count) const override {
    most_rows = std::max(most_rows, count);
    Tensor out(DType::kF32, {count, kColumns});
    std::memcpy(out.raw().data(), whole.as<float>().data() + first * kColumns, out.bytes());
    return out;
  }
};

struct Seen {
  std::vector<std::byte> bytes;
  std::vector<std::string> hashes;
};

Seen walk(const Table& table, uint64_t most_held, uint64_t slice) {
  LayerPlan layer;
  layer.name = "token_embedding.weight";
  layer.shape = table.whole.shape();
  Seen seen;
  WalkJob job{.layers = {&layer, 1}, .steps = {}};
  job.skip = [](size_t) { return false; };
  job.float_dtype = [](size_t, size_t) { return DType::kBF16; };
  job.out_bytes = [](size_t) { return uint64_t{0}; };
  const auto append = [&](const Tensor& t) {
    seen.bytes.insert(seen.bytes.end(), t.raw().begin(), t.raw().end());
  };
  job.sink = [&](size_t, LayerValue&& value, const std::vector<std::string>& hashes) {
    append(value.values.at(0));
    seen.hashes = hashes;
  };
  job.sink_rows = [&](size_t, int64_t first, const Tensor& rows) {
    EXPECT_EQ(static_cast<size_t>(first * kColumns * 2), seen.bytes.size());
    append(rows);
  };
  job.sink_end = [&](size_t, const std::vector<std::string>& hashes) { seen.hashes = hashes; };
  job.most_held = most_held;
  job.slice = slice;
  walk_layers(job, table, no_progress());
  return seen;
}

TEST(Walk, slices_of_a_large_float_tensor_are_the_whole) {
  const Table table;
  const Seen whole = walk(table, kMostHeld, 1);
  EXPECT_EQ(table.most_rows, 0);
  EXPECT_EQ(whole.bytes.size(), static_cast<size_t>(kRows * kColumns * 2));
  for (const uint64_t slice : {uint64_t{1}, uint64_t{3 * kColumns * 4}, uint64_t{1} << 20}) {
    const Seen got = walk(table, 100, slice);
    EXPECT_EQ(got.bytes, whole.bytes) << slice;
    EXPECT_EQ(got.hashes, whole.hashes) << slice;
  }
  const Table small;
  walk(small, 100, 3 * kColumns * 4);
  EXPECT_EQ(small.most_rows, 3);
}

// One Linear with a bias, that can be read by rows or not at all so.
struct OneLinear : WeightSource {
  bool by_rows = true;
  Tensor weight{DType::kF32, {96, 64}}, bias{DType::kF32, {96}};
  mutable std::atomic<int64_t> most_rows = 0, whole_loads = 0;
  explicit OneLinear(bool rows) : by_rows(rows) {
    for (size_t i = 0; i < weight.as<float>().size(); ++i)
      weight.as<float>()[i] = std::sin(static_cast<float>(i)) / static_cast<float>(1 + i / 64);
    for (size_t i = 0; i < bias.as<float>().size(); ++i) bias.as<float>()[i] = static_cast<float>(i);
  }
  const Tensor& at(std::string_view name) const { return name.ends_with(".bias") ? bias : weight; }
  bool has(std::string_view) const override { return true; }
  Shape shape(std::string_view name) const override { return at(name).shape(); }
  DType dtype(std::string_view) const override { return DType::kF32; }
  Tensor load(std::string_view name) const override {
    whole_loads += name.ends_with(".weight") ? 1 : 0;
    return at(name).clone();
  }
  bool reads_rows(std::string_view) const override { return by_rows; }
  Tensor load_rows(std::string_view name, int64_t first, int64_t count) const override {
    if (name.ends_with(".weight")) most_rows = std::max<int64_t>(most_rows, count);
    Shape shape = at(name).shape();
    const size_t row = at(name).bytes() / static_cast<size_t>(shape[0]);
    shape[0] = count;
    Tensor out(DType::kF32, shape);
    std::memcpy(out.raw().data(), at(name).raw().data() + static_cast<size_t>(first) * row, out.bytes());
    return out;
  }
};

struct SeenLayer {
  std::vector<std::byte> bytes;  // of what came out
  std::vector<std::string> hashes;
  uint64_t progress = 0;
};

struct Counting : Progress {
  std::atomic<uint64_t> bytes = 0;
  void advance(uint64_t done, std::string_view) override { bytes += done; }
};

SeenLayer walk_linear(const OneLinear& source, const ProcessStep* step) {
  LayerPlan layer;
  layer.name = "blocks.0.ffn.0";
  layer.linear = layer.has_bias = true;
  layer.block = 0;
  layer.shape = source.weight.shape();
  std::vector<ProcessStep> steps;
  if (step) {
    steps.push_back(*step);
    layer.scheme = scheme_of(step->activation, step->weight);
    layer.step = 0;
  }
  SeenLayer seen;
  Counting progress;
  WalkJob job{.layers = {&layer, 1}, .steps = steps};
  job.skip = [](size_t) { return false; };
  job.float_dtype = [](size_t, size_t) { return DType::kBF16; };
  job.out_bytes = [](size_t) { return uint64_t{0}; };
  job.row_slice = 5 * 64 * 4;
  job.sink = [&](size_t, LayerValue&& value, const std::vector<std::string>& hashes) {
    const auto append = [&](const Tensor& t) {
      seen.bytes.insert(seen.bytes.end(), t.raw().begin(), t.raw().end());
    };
    for (const Tensor& t : value.values) append(t);
    for (const Tensor* t : {&value.quantized.weight, &value.quantized.scale, &value.quantized.bias})
      append(*t);
    seen.hashes = hashes;
  };
  walk_layers(job, source, progress);
  seen.progress = progress.bytes;
  return seen;
}

TEST(Walk, a_linear_in_slices_is_the_whole) {
  ProcessStep int8{.type = "linear_quant"};
  int8.weight = {.encoding = Encoding::kInt8, .granularity = Granularity::kChannel, .method = "minmax"};
  ProcessStep fp8 = int8;  // which must see all rows first
  fp8.weight.encoding = Encoding::kFp8E4M3, fp8.weight.granularity = Granularity::kTensor;
  for (const ProcessStep* step :
       {static_cast<const ProcessStep*>(nullptr), &std::as_const(int8), &std::as_const(fp8)}) {
    const OneLinear whole(false), rows(true);
    const SeenLayer expected = walk_linear(whole, step), got = walk_linear(rows, step);
    EXPECT_EQ(whole.whole_loads, 1);
    EXPECT_EQ(rows.whole_loads, 0);
    EXPECT_EQ(rows.most_rows, 5);
    EXPECT_EQ(got.bytes, expected.bytes);
    EXPECT_EQ(got.hashes, expected.hashes);
    EXPECT_THAT(got.hashes, ::testing::ElementsAre(hash_hex(whole.weight.raw()), hash_hex(whole.bias.raw())));
    EXPECT_EQ(got.progress, whole.weight.bytes() + whole.bias.bytes());
  }
}

TEST(Walk, names_the_place_of_a_bad_value_in_a_slice) {
  Table table;
  table.whole.as<float>()[50 * kColumns + 2] = NAN;
  try {
    walk(table, 100, 4 * kColumns * 4);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("token_embedding.weight[50, 2] is nan"));
  }
}

}  // namespace
}  // namespace wanslim
