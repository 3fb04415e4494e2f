// SPDX-License-Identifier: Apache-2.0
#include "models/block_store.h"

#include <algorithm>

#include "base/profile.h"

namespace wanslim {

BlockStore::BlockStore(int64_t count, Load load, uint64_t budget)
    : load_(std::move(load)), budget_(budget), blocks_(static_cast<size_t>(count)) {}

BlockStore::~BlockStore() {
  if (next_.valid()) next_.wait();
}

std::shared_ptr<const WanBlock> BlockStore::get(int64_t unit) {
  CHECK(unit >= 0 && unit < count());
  std::shared_ptr<const WanBlock> block = blocks_[static_cast<size_t>(unit)];
  if (!block) block = take(unit);
  if (resident_ < 0) settle(block->bytes());
  if (unit < resident_) blocks_[static_cast<size_t>(unit)] = block;
  load_ahead((unit + 1) % count());
  return block;
}

std::shared_ptr<const WanBlock> BlockStore::take(int64_t unit) {
  if (next_.valid()) {
    const Timed timed("waiting for blocks");
    const bool wanted = next_unit_ == unit;
    std::shared_ptr<const WanBlock> block = next_.get();
    if (wanted) return block;
  }
  return std::make_shared<const WanBlock>(load_(unit));
}

// Two places are kept for the streamed block in use and the one that is loading.
void BlockStore::settle(size_t block_bytes) {
  const int64_t fit =
      budget_ == 0 ? count() : static_cast<int64_t>(budget_ / std::max<size_t>(1, block_bytes));
  resident_ = fit >= count() ? count() : std::max<int64_t>(0, fit - 2);
  ahead_ = fit >= 2;
}

void BlockStore::load_ahead(int64_t unit) {
  if (!ahead_ || next_.valid() || blocks_[static_cast<size_t>(unit)]) return;
  next_unit_ = unit;
  next_ =
      std::async(std::launch::async, [this, unit] { return std::make_shared<const WanBlock>(load_(unit)); });
}

}  // namespace wanslim
