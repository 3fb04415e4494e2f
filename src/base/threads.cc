// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace wanslim {
namespace {

std::atomic<int> g_threads{0};

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

void set_threads(int count) {
  g_threads = std::max(0, count);
}

int threads() {
  static const int kCores = available_cores();
  const int asked = g_threads.load();
  return asked > 0 ? asked : kCores;
}

void run_workers(int workers, int64_t count, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr first;
  int64_t first_index = count;
  auto work = [&] {
    for (int64_t i = next++; i < count && !failed; i = next++) {
      try {
        body(i);
      } catch (...) {
        failed = true;
        std::lock_guard lock(mutex);
        if (i < first_index) {
          first_index = i;
          first = std::current_exception();
        }
      }
    }
  };
  std::vector<std::thread> pool;
  const int64_t extra = std::min<int64_t>(workers, count) - 1;
  for (int64_t i = 0; i < extra; ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace wanslim
