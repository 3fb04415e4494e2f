// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/json.h"

namespace wanslim {
namespace {

constexpr size_t kMaxRank = 16;
constexpr size_t kMaxName = 4096;

struct Context {
  std::string_view where;
  [[noreturn]] void fail(std::string_view tensor, std::string what) const {
    throw Error({.what = std::move(what),
                 .where = tensor.empty() ? std::string(where) : fmt::format("{}: \"{}\"", where, tensor),
                 .hint = "the file is damaged or no safetensors file; copy or download it again"});
  }
};

Shape parse_shape(const Json& json, const std::string& name, const Context& context) {
  const Json& list = json.at("shape");
  if (!list.is_array() || list.size() > kMaxRank) {
    context.fail(name, fmt::format("\"shape\" is not a list of at most {} integers", kMaxRank));
  }
  Shape shape;
  for (const Json& extent : list) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > uint64_t{INT64_MAX}) {
      context.fail(name, fmt::format("\"shape\" has {}, expected a non-negative integer", extent.dump()));
    }
    shape.push_back(extent.get<int64_t>());
  }
  return shape;
}

SafetensorsEntry parse_entry(const std::string& name, const Json& json, uint64_t data_start,
                             uint64_t file_bytes, const Context& context) {
  if (name.size() > kMaxName)
    context.fail(name.substr(0, 60),
                 fmt::format("a tensor name has {} bytes, at most {} are allowed", name.size(), kMaxName));
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets") || json.size() != 3) {
    context.fail(name, "expected an object with dtype, shape and data_offsets");
  }
  const Json& dtype_name = json.at("dtype");
  const auto dtype = dtype_name.is_string() ? dtype_from_name(dtype_name.get<std::string>()) : std::nullopt;
  if (!dtype) context.fail(name, fmt::format("unknown dtype {}", dtype_name.dump()));
  SafetensorsEntry entry{.name = name, .dtype = *dtype, .shape = parse_shape(json, name, context)};
  const Json& offsets = json.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    context.fail(name, "\"data_offsets\" is not a pair of non-negative integers");
  }
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  const uint64_t data_bytes = file_bytes - data_start;
  if (begin > end || end > data_bytes) {
    context.fail(name, fmt::format("data_offsets [{}, {}] lie outside the {} data bytes of the file", begin,
                                   end, data_bytes));
  }
  uint64_t expected = 0;
  try {
    if (__builtin_mul_overflow(static_cast<uint64_t>(element_count(entry.shape)), size_of(*dtype), &expected))
      expected = UINT64_MAX;
  } catch (const Error& e) {
    context.fail(name, e.parts.what);
  }
  if (end - begin != expected) {
    context.fail(name, fmt::format("data_offsets span {} bytes, {} {} needs {}", end - begin, name_of(*dtype),
                                   to_string(entry.shape), expected));
  }
  entry.offset = data_start + begin;
  entry.bytes = expected;
  return entry;
}

// Tensors must follow each other without gap or overlap up to the end of the file.
void check_cover(std::vector<SafetensorsEntry>& entries, uint64_t data_start, uint64_t file_bytes,
                 const Context& context) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  uint64_t at = data_start;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.offset != at) {
      context.fail(entry.name,
                   fmt::format("starts at byte {}, the tensor before it ends at {}", entry.offset, at));
    }
    at += entry.bytes;
  }
  if (at != file_bytes) {
    context.fail("", fmt::format("the tensors end at byte {}, the file has {} bytes", at, file_bytes));
  }
}

std::string quoted(const std::string& text) {
  return Json(text).dump();
}

std::string entry_text(const SafetensorsEntry& entry, uint64_t data_start) {
  std::string shape;
  for (int64_t extent : entry.shape) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
  return fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", quoted(entry.name),
                     name_of(entry.dtype), shape, entry.offset - data_start,
                     entry.offset - data_start + entry.bytes);
}

}  // namespace

uint64_t safetensors_header_bytes(std::span<const std::byte, 8> prefix, uint64_t file_bytes,
                                  std::string_view where) {
  uint64_t size = 0;
  for (size_t i = 0; i < 8; ++i) size |= static_cast<uint64_t>(prefix[i]) << (8 * i);
  const Context context{where};
  if (size > kMaxSafetensorsHeader) {
    context.fail(
        "", fmt::format("the header claims {} bytes, at most {} are allowed", size, kMaxSafetensorsHeader));
  }
  if (file_bytes < 8 || size > file_bytes - 8) {
    context.fail("", fmt::format("the header claims {} bytes, the file has {}", size, file_bytes));
  }
  return size;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t file_bytes,
                                           std::string_view where) {
  const Context context{where};
  const uint64_t data_start = 8 + json.size();
  if (data_start > file_bytes) context.fail("", "the header is longer than the file");
  if (json.empty() || json.front() != '{') context.fail("", "the header is not a JSON object");
  const Json root = parse_json(json, where);
  SafetensorsHeader header;
  for (const auto& [name, value] : root.items()) {
    if (name != "__metadata__") {
      header.entries.push_back(parse_entry(name, value, data_start, file_bytes, context));
      continue;
    }
    if (!value.is_object()) context.fail("", "\"__metadata__\" is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) context.fail("", fmt::format("\"__metadata__\": \"{}\" is not a string", key));
      header.metadata[key] = text.get<std::string>();
    }
  }
  check_cover(header.entries, data_start, file_bytes, context);
  return header;
}

SafetensorsLayout layout_safetensors(std::vector<SafetensorsEntry> entries,
                                     const std::map<std::string, std::string>& metadata) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  uint64_t at = 0;
  for (SafetensorsEntry& entry : entries) {
    entry.offset = at;
    entry.bytes = static_cast<uint64_t>(element_count(entry.shape)) * size_of(entry.dtype);
    at += entry.bytes;
  }
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, text] : metadata)
      json += (json.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(text);
    json += "}";
  }
  for (const SafetensorsEntry& entry : entries) json += (json.size() == 1 ? "" : ",") + entry_text(entry, 0);
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  SafetensorsLayout layout{.entries = std::move(entries), .head = {}, .file_bytes = 8 + json.size() + at};
  for (size_t i = 0; i < 8; ++i) layout.head += static_cast<char>(json.size() >> (8 * i) & 0xff);
  layout.head += json;
  for (SafetensorsEntry& entry : layout.entries) entry.offset += layout.head.size();
  return layout;
}

}  // namespace wanslim
