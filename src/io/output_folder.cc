// SPDX-License-Identifier: Apache-2.0
#include "io/output_folder.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>

#include "base/error.h"
#include "base/hash.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxJournal = uint64_t{1} << 30;
constexpr size_t kHashDigits = 32;

std::string to_line(const Json& record) {
  const std::string text = record.dump();
  return hash_hex(text) + " " + text + "\n";
}

// The records up to the first torn or damaged line; `good` is the length of what they cover.
std::vector<Json> read_journal(const std::string& text, size_t& good) {
  std::vector<Json> out;
  good = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos || end - begin <= kHashDigits + 1) break;
    const std::string_view json =
        std::string_view(text).substr(begin + kHashDigits + 1, end - begin - kHashDigits - 1);
    if (hash_hex(json) != std::string_view(text).substr(begin, kHashDigits)) break;
    out.push_back(parse_json(json, "journal"));
    begin = good = end + 1;
  }
  return out;
}

void make_folder(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw system_error("cannot create the folder", path.string(), error.value());
}

}  // namespace

OutputFolder::OutputFolder(OutputFolder&&) noexcept = default;

OutputFolder::~OutputFolder() = default;

OutputFolder OutputFolder::open(const Path& dir, const Json& job, const std::vector<std::string>& finals,
                                bool overwrite) {
  OutputFolder folder;
  folder.dir_ = dir;
  folder.created_ = !std::filesystem::exists(dir);
  const bool unfinished = std::filesystem::exists(folder.work());
  if (!unfinished && !overwrite) folder.refuse_finished(finals);
  make_folder(folder.work());
  folder.lock();
  folder.load_journal(job, overwrite);
  if (!folder.resumed_) {
    if (!overwrite) folder.refuse_finished(finals);
    folder.clear();
    folder.journal_ = File::create(folder.work() / "journal");
    folder.record(job);
    folder.records_.clear();
  }
  return folder;
}

void OutputFolder::lock() {
  // The lock file goes away with the folder of a run that ends; what was locked must still be what the name
  // means.
  const Path path = work() / "lock";
  do {
    make_folder(work());
    lock_ = File::open_update(path);
    if (::flock(lock_.fd(), LOCK_EX | LOCK_NB) == 0) continue;
    if (errno != EWOULDBLOCK) throw system_error("cannot lock the folder", dir_.string(), errno);
    throw Error({.what = "another run is writing to this folder",
                 .where = dir_.string(),
                 .hint = "wait until it has ended, or choose another folder",
                 .kind = Error::Kind::kSystem});
  } while (!std::filesystem::exists(path) || stamp_of(path).inode != lock_.stamp().inode);
}

void OutputFolder::refuse_finished(const std::vector<std::string>& finals) const {
  for (const std::string& name : finals) {
    if (!std::filesystem::exists(std::filesystem::symlink_status(dir_ / name))) continue;
    throw Error({.what = fmt::format("the folder already holds {}", name),
                 .where = dir_.string(),
                 .hint = "choose another folder, or add --overwrite to replace it"});
  }
}

void OutputFolder::load_journal(const Json& job, bool overwrite) {
  const Path path = work() / "journal";
  if (!std::filesystem::exists(path)) return;
  journal_ = File::open_update(path);
  size_t good = 0;
  std::vector<Json> records = read_journal(read_text(path, kMaxJournal), good);
  if (records.empty()) return;  // killed before the first record was whole: nothing to keep
  if (records[0] != job) {
    if (overwrite) return;
    std::string difference = "another command";
    for (const auto& [key, value] : job.items()) {
      if (!records[0].contains(key) || records[0][key] != value) {
        difference = "another " + key;
        break;
      }
    }
    throw Error({.what = fmt::format("the folder holds the unfinished work of a run with {}", difference),
                 .where = dir_.string(),
                 .hint = "run that command again to finish it, or add --overwrite to begin anew"});
  }
  journal_.truncate(good);
  resumed_ = true;
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i].contains("commit")) {
      order_ = records[i]["commit"].get<std::vector<std::string>>();
    } else {
      records_.push_back(std::move(records[i]));
    }
  }
}

void OutputFolder::check_space(uint64_t bytes) const {
  // Space that a previous try has taken already is ours.
  uint64_t taken = 0;
  for (const auto& entry : std::filesystem::directory_iterator(work())) {
    if (entry.is_regular_file()) taken += entry.file_size();
  }
  const uint64_t room = free_space(dir_);
  if (bytes <= taken || bytes - taken <= room) return;
  throw Error({.what = fmt::format("the disk has {} bytes free, the result needs {}", room, bytes - taken),
               .where = dir_.string(),
               .hint = "free some space or choose a folder on another disk",
               .kind = Error::Kind::kSystem});
}

File OutputFolder::partial(const std::string& name) {
  return File::open_update(work() / name);
}

void OutputFolder::record(const Json& piece) {
  const std::string line = to_line(piece);
  std::lock_guard guard(*mutex_);
  journal_.append(line);
}

void OutputFolder::put(const std::string& name, std::string_view text) {
  write_file_atomic(work() / name, text);
}

void OutputFolder::commit(const std::vector<std::string>& order) {
  if (order_.empty()) {
    for (const std::string& name : order) File::open_update(work() / name).sync();
    sync_folder(work());
    record({{"commit", order}});
    journal_.sync();
    order_ = order;
  }
  for (const std::string& name : order_) {
    if (std::filesystem::exists(work() / name)) rename_file(work() / name, dir_ / name);
  }
  sync_folder(dir_);
  clear();
  std::error_code ignored;
  std::filesystem::remove_all(work(), ignored);
}

void OutputFolder::clear() {
  // The journal first: a kill in here must not leave a journal that speaks of files that are gone.
  remove_file(work() / "journal");
  for (const auto& entry : std::filesystem::directory_iterator(work())) {
    if (entry.path().filename() != "lock") std::filesystem::remove_all(entry.path());
  }
}

void OutputFolder::discard() {
  clear();
  std::error_code ignored;
  std::filesystem::remove_all(work(), ignored);
  if (created_) std::filesystem::remove(dir_, ignored);  // only if it is empty
}

}  // namespace wanslim
