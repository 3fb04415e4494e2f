// SPDX-License-Identifier: Apache-2.0
#include "io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace wanslim {
namespace {

// Kernel calls move at most 2 GiB at once; smaller pieces keep a pipe of reads and writes going.
constexpr size_t kPiece = size_t{64} << 20;

FileStamp to_stamp(const struct stat& s) {
  return {.size = static_cast<uint64_t>(s.st_size),
          .device = static_cast<uint64_t>(s.st_dev),
          .inode = static_cast<uint64_t>(s.st_ino),
          .modified_ns = int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec};
}

int open_or_throw(const Path& path, int flags, mode_t mode, std::string_view action) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw system_error(action, path.string(), errno);
  return fd;
}

}  // namespace

File File::open_read(const Path& path) {
  File file(open_or_throw(path, O_RDONLY, 0, "cannot open the file"), path);
  struct stat s {};
  if (::fstat(file.fd_, &s) != 0) throw system_error("cannot stat the file", path.string(), errno);
  if (!S_ISREG(s.st_mode)) throw Error({.what = "this is not a regular file", .where = path.string()});
  return file;
}

File File::create(const Path& path, mode_t mode) {
  File file(open_or_throw(path, O_RDWR | O_CREAT | O_TRUNC, mode, "cannot create the file"), path);
  ::fchmod(file.fd_, mode);  // the umask may have taken bits away; MindIE-SD looks at the mode
  return file;
}

File File::open_update(const Path& path, mode_t mode) {
  File file(open_or_throw(path, O_RDWR | O_CREAT, mode, "cannot open the file for writing"), path);
  ::fchmod(file.fd_, mode);
  return file;
}

File::~File() {
  close();
}

File::File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

void File::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void File::read_at(uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(fd_, bytes.data(), std::min(bytes.size(), kPiece), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw system_error(fmt::format("reading {} bytes at {} failed", bytes.size(), offset), path_.string(),
                         errno);
    if (got == 0) {
      throw Error(
          {.what = fmt::format("the file ends at byte {}, {} more bytes were expected", offset, bytes.size()),
           .where = path_.string(),
           .hint = "the file is cut off; copy or download it again"});
    }
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void File::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(fd_, bytes.data(), std::min(bytes.size(), kPiece), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0)
      throw system_error(fmt::format("writing {} bytes at {} failed", bytes.size(), offset), path_.string(),
                         errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
}

void File::append(std::string_view text) {
  write_at(size(), std::as_bytes(std::span(text)));
}

void File::reserve(uint64_t size) {
  const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
  if (error == EOPNOTSUPP || error == EINVAL) {
    truncate(size);  // file systems without reservation
  } else if (error != 0) {
    throw system_error(fmt::format("cannot reserve {} bytes", size), path_.string(), error);
  }
}

void File::truncate(uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0)
    throw system_error("cannot resize the file", path_.string(), errno);
}

void File::start_writeback(uint64_t offset, uint64_t size) {
  // Advice only: where it fails, sync() still does the work.
  ::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
}

void File::prefetch(uint64_t offset, uint64_t size) const {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
}

void File::sync() {
  if (::fsync(fd_) != 0) throw system_error("writing to the disk failed", path_.string(), errno);
}

FileStamp File::stamp() const {
  struct stat s {};
  if (::fstat(fd_, &s) != 0) throw system_error("cannot stat the file", path_.string(), errno);
  return to_stamp(s);
}

bool path_exists(const Path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_folder(const Path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

bool is_file(const Path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

FileStamp stamp_of(const Path& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) throw system_error("cannot stat the file", path.string(), errno);
  return to_stamp(s);
}

std::string read_text(const Path& path, uint64_t limit) {
  const File file = File::open_read(path);
  const uint64_t size = file.size();
  if (size > limit) {
    throw Error({.what = fmt::format("the file has {} bytes, at most {} are expected here", size, limit),
                 .where = path.string()});
  }
  std::string text(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_file_atomic(const Path& path, std::string_view text, mode_t mode) {
  Path temporary = path;
  temporary += ".part";
  File file = File::create(temporary, mode);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.sync();
  file.close();
  rename_file(temporary, path);
}

void rename_file(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw system_error("cannot rename " + from.string(), to.string(), errno);
}

void remove_file(const Path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw system_error("cannot remove the file", path.string(), errno);
}

void sync_folder(const Path& path) {
  const int fd = open_or_throw(path, O_RDONLY | O_DIRECTORY, 0, "cannot open the folder");
  const int failed = ::fsync(fd) != 0 ? errno : 0;
  ::close(fd);
  // Some network file systems refuse fsync on folders with EINVAL; their renames are durable by themselves.
  if (failed != 0 && failed != EINVAL) throw system_error("cannot sync the folder", path.string(), failed);
}

uint64_t free_space(const Path& folder) {
  struct statvfs s {};
  if (::statvfs(folder.c_str(), &s) != 0)
    throw system_error("cannot look at the free space", folder.string(), errno);
  return static_cast<uint64_t>(s.f_bavail) * s.f_frsize;
}

}  // namespace wanslim
