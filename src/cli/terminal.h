// SPDX-License-Identifier: Apache-2.0
// Progress and messages on standard error: one line that renews itself on a terminal, plain lines at
// intervals otherwise. Bytes done, rate, time left, current block.
#pragma once
#include <chrono>
#include <mutex>
#include <string>

#include "base/progress.h"

namespace wanslim {

class Terminal : public Progress {
 public:
  Terminal();
  void start(std::string_view task, uint64_t total_bytes) override;
  void start_steps(std::string_view task, uint64_t steps, uint64_t parts, uint64_t done) override;
  void advance(uint64_t bytes, std::string_view where) override;
  void finish() override;
  void info(std::string_view line) override;
  void warn(std::string_view line) override;

 private:
  using Clock = std::chrono::steady_clock;
  void show(std::string_view where, bool last);
  std::string bytes_line(double seconds, bool last) const;
  std::string steps_line(double seconds, bool last) const;
  void print(std::string_view line);

  const bool live_;
  std::mutex mutex_;
  std::string task_;
  uint64_t total_ = 0, done_ = 0;    // bytes or parts
  uint64_t parts_ = 0, before_ = 0;  // parts of a step, 0: bytes; parts done by an earlier run
  Clock::time_point begin_, shown_;
  bool open_line_ = false;
};

std::string human_bytes(double bytes);      // "5.29 GiB"
std::string human_seconds(double seconds);  // "80 s", "12 min", "3.5 h"

}  // namespace wanslim
