// SPDX-License-Identifier: Apache-2.0
#include "base/profile.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

namespace wanslim {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Totals {
  std::mutex mutex;
  std::map<std::string, Profile::Row> rows;
  std::thread::id starter;
  Clock::time_point begin;
};

Totals& totals() {
  static Totals* const kTotals = new Totals;  // scopes of other threads may end after main
  return *kTotals;
}

std::atomic<bool> g_on = false;
thread_local Timed* t_innermost = nullptr;

}  // namespace

void Profile::start() {
  Totals& all = totals();
  const std::lock_guard lock(all.mutex);
  all.rows.clear();
  all.starter = std::this_thread::get_id();
  all.begin = Clock::now();
  g_on = true;
}

std::vector<Profile::Row> Profile::rows() {
  Totals& all = totals();
  const std::lock_guard lock(all.mutex);
  std::vector<Row> out;
  for (const auto& [kind, row] : all.rows) out.push_back(row);
  std::stable_sort(out.begin(), out.end(), [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return out;
}

double Profile::seconds() {
  Totals& all = totals();
  const std::lock_guard lock(all.mutex);
  return g_on ? seconds_since(all.begin) : 0;
}

Timed::Timed(const char* kind, double operations) {
  if (!g_on.load(std::memory_order_relaxed)) return;
  kind_ = kind, operations_ = operations;
  outer_ = t_innermost;
  t_innermost = this;
  begin_ = Clock::now();
}

Timed::~Timed() {
  if (kind_ == nullptr) return;
  const double all_seconds = seconds_since(begin_);
  t_innermost = outer_;
  if (outer_ != nullptr) outer_->inner_seconds_ += all_seconds;
  Totals& all = totals();
  const std::lock_guard lock(all.mutex);
  std::string kind = kind_;
  if (std::this_thread::get_id() != all.starter) kind += ", in the background";
  Profile::Row& row = all.rows[kind];
  row.kind = kind;
  row.seconds += all_seconds - inner_seconds_;
  row.operations += operations_;
  ++row.calls;
}

}  // namespace wanslim
