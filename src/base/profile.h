// SPDX-License-Identifier: Apache-2.0
// Where the time of a run goes, by kind of work. Off until start(): a scope then costs one load.
//
//   Profile::start();
//   { Timed t("attention", operations); ... }
//   for (const Profile::Row& row : Profile::rows()) ...
//
// Scopes stand around whole kernels on the thread that calls them, never inside of parallel_for. What an
// inner scope takes is not counted by the outer one, so that the rows of a thread add up.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace wanslim {

class Profile {
 public:
  struct Row {
    std::string kind;  // scopes of other threads than the one that called start(): "..., in the background"
    double seconds = 0, operations = 0;
    int64_t calls = 0;
  };
  static void start();             // from zero
  static std::vector<Row> rows();  // by falling seconds
  static double seconds();         // since start()
};

class Timed {
 public:
  // `operations`: floating-point or integer, a multiply-add is 2; 0 if nobody counts them.
  explicit Timed(const char* kind, double operations = 0);
  ~Timed();
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  const char* kind_ = nullptr;  // null: not profiling
  double operations_ = 0, inner_seconds_ = 0;
  Timed* outer_ = nullptr;
  std::chrono::steady_clock::time_point begin_ = {};
};

}  // namespace wanslim
