// SPDX-License-Identifier: Apache-2.0
// The blocks of a model in memory, or streamed: as many stay as the budget allows, the others are loaded when
// their turn comes, one ahead on a thread of its own, and freed when their user lets go of them.
#pragma once
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "models/wan_block.h"

namespace wanslim {

class BlockStore {
 public:
  using Load = std::function<WanBlock(int64_t unit)>;
  // `budget`: bytes that blocks may take together, the one in use and the one loading included; 0 for no
  // limit. At least one block is held whatever the budget; below two nothing is loaded ahead.
  BlockStore(int64_t count, Load load, uint64_t budget);
  ~BlockStore();

  // The block of `unit`; errors of its loading come from here. One thread at a time. Ask in order: after
  // `unit` the store gets ready unit + 1 (0 after the last), so hold no other block meanwhile.
  std::shared_ptr<const WanBlock> get(int64_t unit);

  int64_t count() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t resident() const { return resident_; }  // how many stay; known once the first block was loaded

 private:
  std::shared_ptr<const WanBlock> take(int64_t unit);
  void settle(size_t block_bytes);
  void load_ahead(int64_t unit);

  Load load_;
  uint64_t budget_ = 0;
  int64_t resident_ = -1;
  bool ahead_ = true;
  std::vector<std::shared_ptr<const WanBlock>> blocks_;
  std::future<std::shared_ptr<const WanBlock>> next_;
  int64_t next_unit_ = -1;
};

}  // namespace wanslim
