// SPDX-License-Identifier: Apache-2.0
// A folder of results that appears whole or not at all, and survives kill -9 at any point.
//
//   open -> (partial | record)* -> put* -> commit
//
// While a run is under way everything sits in DIR/.wanslim/: a lock, partial files under their final names
// and a journal of finished pieces. commit() syncs all files, notes so in the journal, then renames them one
// by one into DIR, the last of `order` last. A run that was killed finds its journal and goes on; one that
// was killed between two renames only renames the rest. Two runs never share a folder: the second gets an
// Error at once.
//
// Journal: one record a line, "XXH3-128 of the rest, a space, JSON". A torn or damaged line ends the journal.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/file.h"

namespace wanslim {

class OutputFolder {
 public:
  // `job` identifies the run: the same command on the same input gives the same value; its members are
  // compared one by one and the first that differs is named. `finals`: names that a finished result would
  // have; if one is there already the Error says so, unless `overwrite`. Creates `dir` if needed.
  static OutputFolder open(const Path& dir, const Json& job, const std::vector<std::string>& finals,
                           bool overwrite);
  OutputFolder(OutputFolder&&) noexcept;
  ~OutputFolder();  // gives up the lock; unfinished work stays for the next run

  bool resumed() const { return resumed_; }
  bool committed() const { return !order_.empty(); }  // a previous run got as far as the renames
  const std::vector<Json>& records() const { return records_; }
  const Path& dir() const { return dir_; }

  void check_space(uint64_t bytes) const;                    // Error if the disk cannot take as much
  File partial(const std::string& name);                     // opens .wanslim/name for update
  void record(const Json& piece);                            // thread-safe
  void put(const std::string& name, std::string_view text);  // a small file, whole
  // Syncs and moves the files into place in this order; with a previous commit() under way `order` is not
  // used.
  void commit(const std::vector<std::string>& order);
  void discard();  // throws the unfinished work away

 private:
  OutputFolder() = default;
  void lock();
  void load_journal(const Json& job, bool overwrite);
  void refuse_finished(const std::vector<std::string>& finals) const;
  void clear();
  Path work() const { return dir_ / ".wanslim"; }

  Path dir_;
  File lock_;
  File journal_;
  bool resumed_ = false;
  bool created_ = false;  // this run made dir_
  std::vector<Json> records_;
  std::vector<std::string> order_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
};

}  // namespace wanslim
