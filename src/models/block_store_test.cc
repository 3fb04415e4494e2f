// SPDX-License-Identifier: Apache-2.0
#include "models/block_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "models/wan_testing.h"

namespace wanslim {
namespace {

struct Counting {
  std::shared_ptr<const WanCheckpoint> source = testing::open_model("t2v");
  std::mutex mutex;
  std::vector<int64_t> loads;
  WanBlock operator()(int64_t unit) {
    std::lock_guard lock(mutex);
    loads.push_back(unit);
    return WanBlock::load(*source, "blocks." + std::to_string(unit % 2), source->geometry(), Compute::kBF16);
  }
};

TEST(BlockStore, KeepsAllWithoutALimit) {
  Counting count;
  {
    BlockStore store(4, std::ref(count), 0);
    for (int round = 0; round < 3; ++round) {
      for (int64_t u = 0; u < 4; ++u) EXPECT_EQ(store.get(u)->path(), "blocks." + std::to_string(u % 2));
    }
    EXPECT_EQ(store.resident(), 4);
  }
  EXPECT_EQ(count.loads, (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(BlockStore, StreamsWhatDoesNotFitOneAhead) {
  Counting count;
  size_t block = 0;
  {
    BlockStore probe(1, std::ref(count), 0);
    block = probe.get(0)->bytes();
  }
  count.loads.clear();
  {
    BlockStore store(4, std::ref(count), 3 * block);
    for (int round = 0; round < 2; ++round) {
      for (int64_t u = 0; u < 4; ++u) store.get(u);
    }
    EXPECT_EQ(store.resident(), 1);
  }
  // The first stays; the last get(3) has 0 already and loads nothing ahead.
  EXPECT_EQ(count.loads, (std::vector<int64_t>{0, 1, 2, 3, 1, 2, 3}));
}

TEST(BlockStore, AnErrorOfLoadingComesOutOfGet) {
  Counting count;
  BlockStore store(
      3,
      [&](int64_t unit) -> WanBlock {
        if (unit == 1) throw Error{{.what = "damaged"}};
        return count(unit);
      },
      0);
  store.get(0);
  EXPECT_THROW(store.get(1), Error);
}

}  // namespace
}  // namespace wanslim
