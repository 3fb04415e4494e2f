// SPDX-License-Identifier: Apache-2.0
#include "calib/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
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
