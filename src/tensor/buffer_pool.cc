// SPDX-License-Identifier: Apache-2.0
#include "tensor/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace wanslim {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = size_t{1} << 20;  // smaller ones are malloc's business

struct Pool {
  std::mutex mutex;
  std::vector<Block> idle;
  size_t idle_bytes = 0;
};

// Never destroyed: tensors in static storage may be freed after it.
Pool& pool() {
  static Pool* const kPool = new Pool;
  return *kPool;
}

// The smallest idle block that is not more than twice what is wanted.
bool take_idle(size_t bytes, Block& out) {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  size_t best = p.idle.size();
  for (size_t i = 0; i < p.idle.size(); ++i) {
    const size_t capacity = p.idle[i].capacity;
    if (capacity < bytes || capacity / 2 > bytes) continue;
    if (best == p.idle.size() || capacity < p.idle[best].capacity) best = i;
  }
  if (best == p.idle.size()) return false;
  out = p.idle[best];
  p.idle_bytes -= out.capacity;
  p.idle.erase(p.idle.begin() + static_cast<std::ptrdiff_t>(best));
  return true;
}

Block map_block(size_t bytes) {
  const size_t capacity = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* const data = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  ::madvise(data, capacity, MADV_HUGEPAGE);  // advice: without huge pages it is only slower
  return {static_cast<std::byte*>(data), capacity};
}

}  // namespace

Block take_block(size_t bytes) {
  const size_t rounded = (bytes + 63) / 64 * 64;
  if (rounded < kLarge) {  // by the capacity, as give_block decides
    void* const data = std::aligned_alloc(64, rounded);
    if (!data) throw std::bad_alloc();
    return {static_cast<std::byte*>(data), rounded};
  }
  Block block;
  return take_idle(rounded, block) ? block : map_block(rounded);
}

void give_block(Block block) {
  if (block.capacity < kLarge) {
    std::free(block.data);
    return;
  }
  std::vector<Block> surplus;
  if (block.capacity > kMostIdleBytes) {
    surplus.push_back(block);
  } else {
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    p.idle.push_back(block);
    p.idle_bytes += block.capacity;
    while (p.idle_bytes > kMostIdleBytes) {  // the smallest is the cheapest to map again
      const auto smallest =
          std::min_element(p.idle.begin(), p.idle.end(),
                           [](const Block& a, const Block& b) { return a.capacity < b.capacity; });
      surplus.push_back(*smallest);
      p.idle_bytes -= smallest->capacity;
      p.idle.erase(smallest);
    }
  }
  for (const Block& old : surplus) ::munmap(old.data, old.capacity);
}

size_t idle_block_bytes() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  return p.idle_bytes;
}

}  // namespace wanslim
