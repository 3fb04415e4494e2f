// SPDX-License-Identifier: Apache-2.0
// parallel_for on one pool of threads that sleep when there is nothing to do. Several threads may have a loop
// running at a time (a loader beside the computation): idle workers help whichever has ranges left.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/threads.h"

namespace wanslim {
namespace {

constexpr int kYields = 100;  // before sleeping: some 30 microseconds, the gap between two loops

struct Job {
  const std::function<void(int64_t, int64_t)>* body = nullptr;
  int64_t count = 0, grain = 1, ranges = 0;
  std::atomic<int64_t> next{0};
  std::atomic<int> helpers{0};  // raised under the pool's mutex; a helper's last touch of the job lowers it
  // Under the pool's mutex:
  int helpers_wanted = 0;
  std::exception_ptr first = nullptr;
  int64_t first_range = 0;
};

thread_local bool t_serial = false;  // this thread runs a range, or was told to run its loops alone

void run_ranges(Job& job, std::mutex& mutex) {
  const SerialLoops serial;
  for (int64_t r = job.next++; r < job.ranges; r = job.next++) {
    try {
      (*job.body)(r * job.grain, std::min(job.count, (r + 1) * job.grain));
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!job.first || r < job.first_range) {
        job.first = std::current_exception();
        job.first_range = r;
      }
    }
  }
}

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      while (workers_ < job.helpers_wanted) {
        std::thread(&Pool::work, this).detach();
        ++workers_;
      }
      jobs_.push_back(&job);
      ++version_;
    }
    wake_.notify_all();
    run_ranges(job, mutex_);
    std::unique_lock lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    lock.unlock();
    for (int i = 0; i < kYields && job.helpers > 0; ++i) std::this_thread::yield();
    lock.lock();
    done_.wait(lock, [&] { return job.helpers == 0; });
  }

 private:
  // The next job that wants help; under the mutex.
  Job* find() {
    for (Job* job : jobs_) {
      if (job->helpers_wanted > 0 && job->next < job->ranges) return job;
    }
    return nullptr;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = find();
      if (job == nullptr) {
        const uint64_t seen = version_;
        lock.unlock();
        for (int i = 0; i < kYields && version_ == seen; ++i) std::this_thread::yield();
        lock.lock();
        wake_.wait(lock, [&] { return version_ != seen; });
        continue;
      }
      --job->helpers_wanted;
      ++job->helpers;
      lock.unlock();
      run_ranges(*job, mutex_);
      lock.lock();
      if (--job->helpers == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Job*> jobs_;
  std::atomic<uint64_t> version_{0};
  int workers_ = 0;
};

// Never destroyed: its threads end with the process.
Pool& pool() {
  static Pool* const kPool = new Pool;
  return *kPool;
}

}  // namespace

SerialLoops::SerialLoops(bool serial) : before_(t_serial) {
  t_serial = t_serial || serial;
}

SerialLoops::~SerialLoops() {
  t_serial = before_;
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t ranges = (count + grain - 1) / grain;
  const int width = static_cast<int>(std::min<int64_t>(ranges, threads()));
  if (width == 1 || t_serial) {
    for (int64_t r = 0; r < ranges; ++r) body(r * grain, std::min(count, (r + 1) * grain));
    return;
  }
  Job job;
  job.body = &body, job.count = count, job.grain = grain, job.ranges = ranges;
  job.helpers_wanted = width - 1;
  pool().run(job);
  if (job.first) std::rethrow_exception(job.first);
}

}  // namespace wanslim
