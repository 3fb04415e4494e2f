// SPDX-License-Identifier: Apache-2.0
#include "tensor/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace wanslim {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(BufferPool, GivesAlignedWritableBlocksOfAnySize) {
  for (size_t bytes : {size_t{1}, size_t{63}, size_t{65}, kMiB - 1, kMiB, 3 * kMiB + 7, 100 * kMiB}) {
    const Block block = take_block(bytes);
    ASSERT_GE(block.capacity, bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data) % 64, 0u);
    std::memset(block.data, 1, bytes);
    give_block(block);
  }
}

TEST(BufferPool, ReusesBlocksOfNearSizeAndNeverTheSameTwice) {
  const Block first = take_block(9 * kMiB);
  give_block(first);
  const Block again = take_block(8 * kMiB);
  EXPECT_EQ(again.data, first.data);
  const Block other = take_block(8 * kMiB);
  EXPECT_NE(other.data, again.data);
  give_block(again);
  EXPECT_NE(take_block(kMiB).data, again.data);  // too large for so little
  give_block(other);
}

TEST(BufferPool, KeepsABoundedAmount) {
  std::vector<Block> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(take_block(10 * kMiB));
  for (const Block& block : blocks) give_block(block);
  EXPECT_LE(idle_block_bytes(), 128 * kMiB);
  give_block(take_block(500 * kMiB));
  EXPECT_LE(idle_block_bytes(), 128 * kMiB);
}

}  // namespace
}  // namespace wanslim
