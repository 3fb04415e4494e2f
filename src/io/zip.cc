// SPDX-License-Identifier: Apache-2.0
#include "io/zip.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr uint64_t kEndRecord = 22, kZip64Locator = 20, kZip64End = 56, kCentralRecord = 46,
                   kLocalHeader = 30;
constexpr uint64_t kMaxComment = 65535;
constexpr uint64_t kMaxDirectory = 64'000'000;
constexpr uint32_t kUnknown32 = 0xffffffff;

[[noreturn]] void fail(const File& file, std::string what) {
  throw Error({.what = std::move(what),
               .where = file.path().string(),
               .hint = "the file is cut off or damaged; copy or download it again"});
}

// Little-endian number; the caller has checked that it is there.
uint64_t number(std::string_view bytes, size_t at, size_t count) {
  uint64_t out = 0;
  for (size_t i = 0; i < count; ++i)
    out |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return out;
}

std::string read(const File& file, uint64_t offset, uint64_t count) {
  std::string out(count, '\0');
  file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

struct Directory {
  uint64_t offset = 0, bytes = 0, entries = 0;
};

Directory find_directory(const File& file) {
  const uint64_t size = file.size();
  if (size < kEndRecord) fail(file, fmt::format("{} bytes are too few for a zip archive", size));
  const uint64_t tail_bytes = std::min(size, kEndRecord + kMaxComment);
  const uint64_t tail_start = size - tail_bytes;
  const std::string tail = read(file, tail_start, tail_bytes);
  size_t end = tail_bytes - kEndRecord;
  while (tail.compare(end, 4, "PK\5\6") != 0 || number(tail, end + 20, 2) != tail_bytes - end - kEndRecord) {
    if (end == 0) fail(file, "the zip directory at the end of the file is missing");
    --end;
  }
  Directory out{.offset = number(tail, end + 16, 4),
                .bytes = number(tail, end + 12, 4),
                .entries = number(tail, end + 10, 2)};
  uint64_t limit = tail_start + end;
  const uint64_t disks = number(tail, end + 4, 2) | number(tail, end + 6, 2);
  if (limit >= kZip64Locator) {
    const std::string locator = read(file, limit - kZip64Locator, kZip64Locator);
    if (locator.starts_with("PK\6\7")) {
      const uint64_t at = number(locator, 8, 8);
      if (limit < kZip64Locator + kZip64End || at > limit - kZip64Locator - kZip64End)
        fail(file, fmt::format("the zip64 end record is said to lie at byte {}", at));
      const std::string record = read(file, at, kZip64End);
      if (!record.starts_with("PK\6\6")) fail(file, "the zip64 end record is missing");
      out = {
          .offset = number(record, 48, 8), .bytes = number(record, 40, 8), .entries = number(record, 32, 8)};
      limit = at;
    }
  }
  if (disks != 0 && disks != 0xffff) fail(file, "the archive is split over several files");
  if (out.bytes > kMaxDirectory || out.bytes > limit || out.offset > limit - out.bytes ||
      out.entries > out.bytes / kCentralRecord) {
    fail(file, fmt::format("the zip directory is said to have {} entries in {} bytes at {}", out.entries,
                           out.bytes, out.offset));
  }
  return out;
}

// Sizes and offset that do not fit 32 bits stand in the zip64 extra field, in this order.
void read_zip64_extra(const File& file, std::string_view extra, std::array<uint64_t*, 3> values,
                      const std::string& name) {
  while (extra.size() >= 4) {
    const uint64_t tag = number(extra, 0, 2), bytes = number(extra, 2, 2);
    extra.remove_prefix(4);
    if (bytes > extra.size()) fail(file, fmt::format("the extra field of \"{}\" is cut off", name));
    std::string_view field = extra.substr(0, bytes);
    extra.remove_prefix(bytes);
    if (tag != 1) continue;
    for (uint64_t* value : values) {
      if (*value != kUnknown32) continue;
      if (field.size() < 8) fail(file, fmt::format("the zip64 field of \"{}\" is cut off", name));
      *value = number(field, 0, 8);
      field.remove_prefix(8);
    }
  }
}

void check_member(const File& file, std::string_view record, const std::string& name, uint64_t stored) {
  const uint64_t method = number(record, 10, 2);
  if (name.empty() || name.find('\0') != std::string::npos) fail(file, "a member of the archive has no name");
  if ((number(record, 8, 2) & 0x2041) != 0) fail(file, fmt::format("\"{}\" is encrypted", name));
  if (method != 0 || stored != 0) {
    throw Error(
        {.what = fmt::format("\"{}\" is compressed (method {}); torch.save stores its members", name, method),
         .where = file.path().string(),
         .hint = "the file was packed again; unpack it, or save it again with torch.save"});
  }
}

}  // namespace

std::map<std::string, ZipMember> read_zip_directory(const File& file) {
  const Directory directory = find_directory(file);
  const std::string text = read(file, directory.offset, directory.bytes);
  std::string_view left = text;
  std::map<std::string, ZipMember> members;
  for (uint64_t entry = 0; entry < directory.entries; ++entry) {
    if (left.size() < kCentralRecord || !left.starts_with("PK\1\2"))
      fail(file, fmt::format("entry {} of the zip directory is damaged", entry));
    const uint64_t name_bytes = number(left, 28, 2), extra_bytes = number(left, 30, 2);
    const uint64_t record_bytes = kCentralRecord + name_bytes + extra_bytes + number(left, 32, 2);
    if (record_bytes > left.size())
      fail(file, fmt::format("entry {} of the zip directory is cut off", entry));
    const std::string name(left.substr(kCentralRecord, name_bytes));
    ZipMember member{.header = number(left, 42, 4), .bytes = number(left, 24, 4)};
    uint64_t packed = number(left, 20, 4);
    read_zip64_extra(file, left.substr(kCentralRecord + name_bytes, extra_bytes),
                     {&member.bytes, &packed, &member.header}, name);
    check_member(file, left, name, packed == member.bytes ? 0 : 1);
    if (member.header > directory.offset || member.bytes > directory.offset - member.header ||
        directory.offset - member.header - member.bytes < kLocalHeader + name_bytes)
      fail(file, fmt::format("\"{}\" is said to have {} bytes at {}, outside the archive", name, member.bytes,
                             member.header));
    if (!members.emplace(name, member).second) fail(file, fmt::format("\"{}\" stands twice", name));
    left.remove_prefix(record_bytes);
  }
  return members;
}

uint64_t zip_member_offset(const File& file, const std::string& name, const ZipMember& member) {
  const std::string header = read(file, member.header, kLocalHeader + name.size());
  if (!header.starts_with("PK\3\4") || number(header, 26, 2) != name.size() ||
      header.compare(kLocalHeader, name.size(), name) != 0)
    fail(file, fmt::format("the header of \"{}\" is damaged", name));
  const uint64_t offset = member.header + kLocalHeader + name.size() + number(header, 28, 2);
  if (const uint64_t size = file.size(); offset > size || member.bytes > size - offset)
    fail(file, fmt::format("\"{}\" ends outside the file", name));
  return offset;
}

}  // namespace wanslim
