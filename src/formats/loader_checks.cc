// SPDX-License-Identifier: Apache-2.0
#include "formats/loader_checks.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "formats/manifest.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

// Reads in pieces.
std::string hash_of(const Checkpoint& file, const StoredTensor& tensor) {
  constexpr uint64_t kPiece = uint64_t{16} << 20;
  Hasher hasher;
  std::vector<std::byte> piece(std::min(kPiece, tensor.bytes));
  for (uint64_t at = 0; at < tensor.bytes; at += kPiece) {
    const auto part = std::span(piece).first(std::min(kPiece, tensor.bytes - at));
    file.read(tensor, at, part);
    hasher.update(part);
  }
  return hasher.digest();
}

}  // namespace

void check_secure_file(const Path& path, uint64_t limit, VerifyReport& report) {
  const std::string name = path.filename().string();
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0) throw system_error("cannot stat the file", path.string(), errno);
  if (S_ISLNK(s.st_mode)) report.problems.push_back(name + " is a symbolic link, the loader refuses those");
  if ((s.st_mode & 07777 & ~0640) != 0) {
    report.problems.push_back(
        fmt::format("{} has mode {:04o}, the loader refuses more than 0640 (chmod 640 {})", name,
                    s.st_mode & 07777, name));
  }
  if (s.st_uid != ::geteuid() && s.st_uid != 0 && s.st_gid != ::getegid()) {
    report.problems.push_back(name + " belongs to another user");
  }
  if (static_cast<uint64_t>(s.st_size) > limit) {
    report.problems.push_back(
        fmt::format("{} has {} bytes, the loader takes at most {}", name, s.st_size, limit));
  }
}

const StoredTensor* expect_tensor(const Checkpoint& file, const std::string& name, DType dtype,
                                  const Shape& shape, VerifyReport& report) {
  const StoredTensor* t = file.find(name);
  if (!t) {
    report.problems.push_back(fmt::format("{} is missing", name));
    return nullptr;
  }
  if (t->dtype == dtype && t->shape == shape) return t;
  report.problems.push_back(fmt::format("{} is {} {}, the loader expects {} {}", name, name_of(t->dtype),
                                        to_string(t->shape), name_of(dtype), to_string(shape)));
  return nullptr;
}

void check_scales(const Checkpoint& file, const StoredTensor& tensor, VerifyReport& report) {
  const Tensor values = file.load(tensor);
  for (size_t i = 0; i < values.as<float>().size(); ++i) {
    const float value = values.as<float>()[i];
    if (std::isfinite(value) && value > 0) continue;
    report.problems.push_back(fmt::format("{}[{}] is {}, expected a positive number", tensor.name, i, value));
    return;
  }
}

void check_bf16_scales(const Checkpoint& file, const StoredTensor& tensor, VerifyReport& report) {
  check_scales(file, tensor, report);
  const Tensor values = file.load(tensor);
  for (size_t i = 0; i < values.as<float>().size(); ++i) {
    const float value = values.as<float>()[i];
    if (round_bf16(value) == value || std::isnan(value)) continue;
    report.problems.push_back(
        fmt::format("{}[{}] is {}, no bf16 value: the loader rounds it, and the channel changes its gain",
                    tensor.name, i, value));
    return;
  }
}

void check_manifest(const Path& folder, VerifyReport& report, Progress& progress) {
  const std::optional<Manifest> manifest = read_manifest(folder);
  if (!manifest) {
    report.checked.push_back("no manifest: checksums were not compared");
    return;
  }
  for (const auto& [name, hash] : manifest->files) {
    if (!path_exists(folder / name)) {
      report.problems.push_back(name + " is missing");
    } else if (hash_hex(read_text(folder / name, uint64_t{1} << 30)) != hash) {
      report.problems.push_back(name + " differs from its checksum in the manifest");
    }
  }
  Checkpoint file;
  try {
    file = Checkpoint::open(folder);
  } catch (const Error& e) {
    report.problems.push_back(e.text);
    return;
  }
  std::vector<std::pair<std::string, std::string>> tensors(manifest->tensors.begin(),
                                                           manifest->tensors.end());
  uint64_t total = 0;
  for (const StoredTensor& t : file.tensors()) {
    total += t.bytes;
    if (!manifest->tensors.count(t.name)) report.problems.push_back(t.name + " is not in the manifest");
  }
  progress.start("checksums", total);
  std::mutex mutex;
  run_workers(threads(), static_cast<int64_t>(tensors.size()), [&](int64_t i) {
    throw_if_interrupted();
    const auto& [name, hash] = tensors[static_cast<size_t>(i)];
    const StoredTensor* t = file.find(name);
    const bool same = t && hash_of(file, *t) == hash;
    if (t) progress.advance(t->bytes, name);
    if (same) return;
    std::lock_guard guard(mutex);
    report.problems.push_back(t ? name + " differs from its checksum in the manifest" : name + " is missing");
  });
  progress.finish();
  report.checked.push_back(fmt::format("{} tensors and {} files against the checksums of the manifest",
                                       tensors.size(), manifest->files.size()));
}

}  // namespace wanslim
