// SPDX-License-Identifier: Apache-2.0
// How the library tells its caller what it is doing. The library never prints: cli implements this for a
// terminal and for a log file, tests leave it out. All members may be called from any thread.
#pragma once
#include <cstdint>
#include <string_view>

namespace wanslim {

class Progress {
 public:
  virtual ~Progress() = default;
  virtual void start(std::string_view /*task*/, uint64_t /*total_bytes*/) {}
  // Work that is counted in steps of `parts` parts, each told by advance(1, ...); `done` steps were made
  // before.
  virtual void start_steps(std::string_view /*task*/, uint64_t /*steps*/, uint64_t /*parts*/,
                           uint64_t /*done*/) {}
  virtual void advance(uint64_t /*bytes*/, std::string_view /*where*/) {}  // where: "blocks.12.ffn.0"
  virtual void finish() {}
  virtual void info(std::string_view /*line*/) {}
  virtual void warn(std::string_view /*line*/) {}
};

Progress& no_progress();

}  // namespace wanslim
