// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace wanslim {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int number) {
  g_signal.store(number);
  std::signal(number, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() {
  return g_signal.load() != 0;
}

void throw_if_interrupted() {
  if (!interrupted()) return;
  throw Error({.what = g_signal.load() == SIGTERM ? "stopped by SIGTERM" : "stopped by Ctrl-C",
               .hint = "what is done is kept; run the same command again to go on from here",
               .kind = Error::Kind::kInterrupted});
}

}  // namespace wanslim
