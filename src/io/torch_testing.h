// SPDX-License-Identifier: Apache-2.0
// For tests: pieces of pickles and zip archives of stored members, good and bad, put together by hand.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace wanslim::testing {

inline std::string little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += i < 8 ? static_cast<char>(value >> (8 * i) & 0xff) : '\0';
  return out;
}

inline std::string py_text(std::string_view text) {
  return "X" + little(text.size(), 4) + std::string(text);
}
inline std::string py_int(int64_t value) {
  return "\x8a\x08" + little(static_cast<uint64_t>(value), 8);
}
inline std::string py_tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (int64_t value : values) out += py_int(value);
  return out + "t";
}
inline std::string py_name(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string py_storage(std::string_view type, std::string_view key, int64_t elements) {
  return "(" + py_text("storage") + py_name("torch", type) + py_text(key) + py_text("cpu") +
         py_int(elements) + "tQ";
}
inline std::string py_tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                             const std::vector<int64_t>& strides) {
  return py_name("torch._utils", "_rebuild_tensor_v2") + "(" + storage + py_int(offset) + py_tuple(shape) +
         py_tuple(strides) + "\x89" + py_name("collections", "OrderedDict") + ")RtR";
}
inline std::string py_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += py_text(key) + value;
  return out + "u";
}
inline std::string py_file(const std::string& body) {
  return "\x80\x02" + body + ".";
}

// A zip archive; the fields can be bent before text() to make a damaged one.
struct ZipBuilder {
  struct Member {
    std::string name, bytes;
    uint16_t method = 0, flags = 0;
    uint64_t stored = UINT64_MAX, size = UINT64_MAX, header = UINT64_MAX;  // what the directory says
  };
  std::vector<Member> members;
  bool zip64 = false;
  std::string comment = {};
  int64_t entries = -1, directory_bytes = -1, directory_offset = -1;

  std::string text() const {
    std::string out, directory;
    for (const Member& m : members) {
      const uint64_t size = m.size == UINT64_MAX ? m.bytes.size() : m.size;
      const uint64_t stored = m.stored == UINT64_MAX ? size : m.stored;
      const uint64_t header = m.header == UINT64_MAX ? out.size() : m.header;
      const std::string extra =
          zip64 ? little(1, 2) + little(24, 2) + little(size, 8) + little(stored, 8) + little(header, 8) : "";
      const auto field = [&](uint64_t value) { return little(zip64 ? 0xffffffff : value, 4); };
      directory += "PK\1\2" + little(0, 4) + little(m.flags, 2) + little(m.method, 2) + little(0, 8) +
                   field(stored) + field(size) + little(m.name.size(), 2) + little(extra.size(), 2) +
                   little(0, 10) + field(header) + m.name + extra;
      out += "PK\3\4" + little(0, 22) + little(m.name.size(), 2) + little(0, 2) + m.name + m.bytes;
    }
    const uint64_t count = entries < 0 ? members.size() : static_cast<uint64_t>(entries);
    const uint64_t bytes = directory_bytes < 0 ? directory.size() : static_cast<uint64_t>(directory_bytes);
    const uint64_t offset = directory_offset < 0 ? out.size() : static_cast<uint64_t>(directory_offset);
    out += directory;
    if (zip64) {
      const uint64_t at = out.size();
      out += "PK\6\6" + little(44, 8) + little(0, 12) + little(count, 8) + little(count, 8) +
             little(bytes, 8) + little(offset, 8);
      out += "PK\6\7" + little(0, 4) + little(at, 8) + little(1, 4);
    }
    const auto end = [&](uint64_t value, int width) { return little(zip64 ? UINT64_MAX : value, width); };
    return out + "PK\5\6" + little(0, 4) + end(count, 2) + end(count, 2) + end(bytes, 4) + end(offset, 4) +
           little(comment.size(), 2) + comment;
  }
};

// An archive as torch.save writes it: the pickle and storages "0", "1", ...
inline ZipBuilder torch_archive(const std::string& pickle, const std::vector<std::string>& storages) {
  ZipBuilder zip;
  zip.members.push_back({.name = "archive/data.pkl", .bytes = pickle});
  for (size_t i = 0; i < storages.size(); ++i)
    zip.members.push_back({.name = "archive/data/" + std::to_string(i), .bytes = storages[i]});
  return zip;
}

}  // namespace wanslim::testing
