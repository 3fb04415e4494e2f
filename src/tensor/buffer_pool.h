// SPDX-License-Identifier: Apache-2.0
// Memory for tensors. Layers come and go by the thousand: a fresh mapping for each costs more in page faults
// than the rounding itself, and malloc keeps what it should give back. So large blocks are mapped on huge
// pages and a bounded amount of freed ones waits for the next layer of that size. Safe from any thread.
#pragma once
#include <cstddef>

namespace wanslim {

struct Block {
  std::byte* data = nullptr;
  size_t capacity = 0;
};

// At least `bytes` > 0, 64-byte aligned, uninitialised. Throws std::bad_alloc.
Block take_block(size_t bytes);
void give_block(Block block);

// Bytes that wait for reuse.
constexpr size_t kMostIdleBytes = size_t{128} << 20;
size_t idle_block_bytes();

}  // namespace wanslim
