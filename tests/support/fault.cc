// SPDX-License-Identifier: Apache-2.0
// LD_PRELOAD library: at the FAULT_AT-th call of the file functions named in FAULT_ON (default: all below) it
// does what FAULT says: kill (SIGKILL), stop, int, term (raise the signal, then go on), eio, enospc (the call
// fails). The program under test needs no hooks for it.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> g_calls{0};

// True if this call must fail; errno is set.
bool strikes(const char* function) {
  static const char* const kAt = std::getenv("FAULT_AT");
  static const char* const kWhat = std::getenv("FAULT");
  static const char* const kOn = std::getenv("FAULT_ON");
  if (!kAt || !kWhat || (kOn && !std::strstr(kOn, function))) return false;
  if (++g_calls != std::atol(kAt)) return false;
  if (std::strcmp(kWhat, "kill") == 0) ::kill(::getpid(), SIGKILL);
  if (std::strcmp(kWhat, "stop") == 0) ::raise(SIGSTOP);
  if (std::strcmp(kWhat, "int") == 0) ::raise(SIGINT);
  if (std::strcmp(kWhat, "term") == 0) ::raise(SIGTERM);
  if (std::strcmp(kWhat, "eio") == 0) return errno = EIO, true;
  if (std::strcmp(kWhat, "enospc") == 0) return errno = ENOSPC, true;
  return false;
}

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto kReal = real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return strikes("pwrite") ? -1 : kReal(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  return pwrite(fd, data, size, offset);
}

ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  static const auto kReal = real<ssize_t (*)(int, void*, size_t, off_t)>("pread");
  return strikes("pread") ? -1 : kReal(fd, data, size, offset);
}
ssize_t pread64(int fd, void* data, size_t size, off64_t offset) {
  return pread(fd, data, size, offset);
}

int rename(const char* from, const char* to) {
  static const auto kReal = real<int (*)(const char*, const char*)>("rename");
  return strikes("rename") ? -1 : kReal(from, to);
}

int fsync(int fd) {
  static const auto kReal = real<int (*)(int)>("fsync");
  return strikes("fsync") ? -1 : kReal(fd);
}

int unlink(const char* path) {
  static const auto kReal = real<int (*)(const char*)>("unlink");
  return strikes("unlink") ? -1 : kReal(path);
}

int ftruncate(int fd, off_t size) {
  static const auto kReal = real<int (*)(int, off_t)>("ftruncate");
  return strikes("ftruncate") ? -1 : kReal(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  return ftruncate(fd, size);
}

int posix_fallocate(int fd, off_t offset, off_t size) {
  static const auto kReal = real<int (*)(int, off_t, off_t)>("posix_fallocate");
  return strikes("fallocate") ? errno : kReal(fd, offset, size);
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
  return posix_fallocate(fd, offset, size);
}

}  // extern "C"
