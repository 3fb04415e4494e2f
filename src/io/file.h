// SPDX-License-Identifier: Apache-2.0
// Files by descriptor: positioned reads and writes that either move all bytes or throw. No mmap: a truncated
// file is an Error here, not a signal.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace wanslim {

using Path = std::filesystem::path;

// What identifies the state of a file: changes when somebody writes or replaces it.
struct FileStamp {
  uint64_t size = 0, device = 0, inode = 0;
  int64_t modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

// Owns a descriptor. Reads and writes at offsets are safe from several threads at once.
class File {
 public:
  File() = default;
  static File open_read(const Path& path);                        // regular files only
  static File create(const Path& path, mode_t mode = 0640);       // truncates
  static File open_update(const Path& path, mode_t mode = 0640);  // creates if absent, keeps the content
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  // Throws Error naming the path if the file ends before `bytes` is full.
  void read_at(uint64_t offset, std::span<std::byte> bytes) const;
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void append(std::string_view text);  // at the current end of writing
  // Reserves the space, so that a full disk shows before the work and not after it.
  void reserve(uint64_t size);
  void truncate(uint64_t size);
  // Asks the kernel to start writing this range to the disk, without waiting.
  void start_writeback(uint64_t offset, uint64_t size);
  // Tells the kernel that this range is read soon.
  void prefetch(uint64_t offset, uint64_t size) const;
  void sync();  // data and metadata are on the disk when it returns
  FileStamp stamp() const;
  uint64_t size() const { return stamp().size; }
  const Path& path() const { return path_; }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close();

 private:
  File(int fd, Path path) : fd_(fd), path_(std::move(path)) {}
  int fd_ = -1;
  Path path_;
};

// What can be reached under a name that a user or a file gave; a name that the system cannot even look up
// (too long, a file for a folder on the way) is none, where std::filesystem would throw.
bool path_exists(const Path& path);
bool is_folder(const Path& path);
bool is_file(const Path& path);

FileStamp stamp_of(const Path& path);

// The whole file as text; Error if it is larger than `limit`.
std::string read_text(const Path& path, uint64_t limit);

// Writes a small file under a temporary name beside `path`, syncs and renames it: there whole or not at all.
void write_file_atomic(const Path& path, std::string_view text, mode_t mode = 0640);

void rename_file(const Path& from, const Path& to);
void remove_file(const Path& path);  // no error if absent
void sync_folder(const Path& path);  // makes renames in it durable
uint64_t free_space(const Path& folder);

}  // namespace wanslim
