// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr std::chrono::milliseconds kLiveInterval{100}, kPlainInterval{5000};

}  // namespace

std::string human_seconds(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 5400) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string human_bytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format(fmt::runtime(unit == 0 ? "{:.0f} {}" : "{:.2f} {}"), bytes, units[unit]);
}

Terminal::Terminal() : live_(::isatty(STDERR_FILENO) == 1) {}

void Terminal::start(std::string_view task, uint64_t total_bytes) {
  std::lock_guard lock(mutex_);
  task_ = task;
  total_ = total_bytes;
  done_ = parts_ = before_ = 0;
  begin_ = shown_ = Clock::now();
}

void Terminal::start_steps(std::string_view task, uint64_t steps, uint64_t parts, uint64_t done) {
  std::lock_guard lock(mutex_);
  task_ = task;
  parts_ = parts;
  total_ = steps * parts;
  done_ = before_ = done * parts;
  begin_ = shown_ = Clock::now();
}

void Terminal::advance(uint64_t bytes, std::string_view where) {
  std::lock_guard lock(mutex_);
  done_ += bytes;
  if (Clock::now() - shown_ >= (live_ ? kLiveInterval : kPlainInterval)) show(where, false);
}

void Terminal::finish() {
  std::lock_guard lock(mutex_);
  show("", true);
}

void Terminal::show(std::string_view where, bool last) {
  shown_ = Clock::now();
  const double seconds = std::chrono::duration<double>(shown_ - begin_).count();
  std::string line = parts_ > 0 ? steps_line(seconds, last) : bytes_line(seconds, last);
  if (!where.empty()) line += fmt::format(", {}", where);
  if (!live_) {
    std::fprintf(stderr, "%s\n", line.c_str());
    return;
  }
  std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
  std::fflush(stderr);
  open_line_ = !last;
}

std::string Terminal::bytes_line(double seconds, bool last) const {
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string line = fmt::format("{}: {} of {}", task_, human_bytes(static_cast<double>(done_)),
                                 human_bytes(static_cast<double>(total_)));
  if (rate > 0) line += fmt::format(", {}/s", human_bytes(rate));
  if (last) {
    line += fmt::format(", {:.1f} s", seconds);
  } else if (rate > 0 && total_ > done_) {
    line += fmt::format(", {} left", human_seconds(static_cast<double>(total_ - done_) / rate));
  }
  return line;
}

std::string Terminal::steps_line(double seconds, bool last) const {
  std::string line = fmt::format("{}: {} of {} done", task_, done_ / parts_, total_ / parts_);
  const auto made = static_cast<double>(done_ - before_);
  if (made > 0) line += fmt::format(", {:.2f} s each", seconds / made * static_cast<double>(parts_));
  if (last) {
    line += fmt::format(", {:.1f} s", seconds);
  } else if (made > 0) {
    line += fmt::format(", {} left", human_seconds(seconds / made * static_cast<double>(total_ - done_)));
  }
  return line;
}

void Terminal::print(std::string_view line) {
  std::lock_guard lock(mutex_);
  if (open_line_) std::fputs("\r\033[K", stderr);
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\n', begin), line.size());
    std::fprintf(stderr, "%s\n", printable(line.substr(begin, end - begin)).c_str());
    begin = end + 1;
  }
}

void Terminal::info(std::string_view line) {
  print(line);
}

void Terminal::warn(std::string_view line) {
  print(fmt::format("warning: {}", line));
}

}  // namespace wanslim
