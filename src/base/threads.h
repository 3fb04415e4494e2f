// SPDX-License-Identifier: Apache-2.0
// The thread pool for compute loops and workers for loops that wait for the disk.
#pragma once
#include <cstdint>
#include <functional>

namespace wanslim {

// Threads that compute loops may use; 0 restores the default (the cores this process may run on).
void set_threads(int count);
int threads();

// Calls body(begin, end) on disjoint ranges that cover [0, count), each at least `grain` long but the last.
// The ranges depend on `count` and `grain` alone, never on the number of threads, so a result per range is
// deterministic. An exception in body is rethrown (the first by range). An inner call runs serially;
// several threads may call at a time and share the pool.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// While it lives, loops that this thread starts run on it alone: for workers that are as many as the threads.
class SerialLoops {
 public:
  explicit SerialLoops(bool serial = true);
  ~SerialLoops();
  SerialLoops(const SerialLoops&) = delete;
  SerialLoops& operator=(const SerialLoops&) = delete;

 private:
  bool before_;
};

// Runs body(index) for index in [0, count), started in order, by `workers` plain threads: for work that reads
// and writes files. The first exception stops the start of further items and is rethrown when all workers
// ended.
void run_workers(int workers, int64_t count, const std::function<void(int64_t)>& body);

}  // namespace wanslim
