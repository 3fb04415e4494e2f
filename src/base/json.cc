// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr size_t kMaxDepth = 64;

// "line L, column C" of a byte offset.
std::string position(std::string_view text, size_t offset) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < std::min(offset, text.size()); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return fmt::format("line {}, column {}", line, column);
}

// Walks the text once before the tree is built: depth and duplicate keys cannot be seen afterwards.
struct Guard : nlohmann::json_sax<Json> {
  std::string_view text, where;
  std::vector<std::set<std::string>> keys;
  size_t depth = 0;

  Guard(std::string_view t, std::string_view w) : text(t), where(w) {}
  void enter() {
    if (++depth > kMaxDepth) {
      throw Error({.what = fmt::format("JSON is nested deeper than {} levels", kMaxDepth),
                   .where = std::string(where)});
    }
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    enter();
    keys.emplace_back();
    return true;
  }
  bool key(string_t& k) override {
    if (!keys.back().insert(k).second) {
      throw Error({.what = fmt::format("the JSON key \"{}\" stands twice", k), .where = std::string(where)});
    }
    return true;
  }
  bool end_object() override {
    --depth;
    keys.pop_back();
    return true;
  }
  bool start_array(size_t) override {
    enter();
    return true;
  }
  bool end_array() override {
    --depth;
    return true;
  }
  bool parse_error(size_t offset, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(
        {.what = fmt::format("invalid JSON at {}", position(text, offset)), .where = std::string(where)});
  }
};

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  Guard guard(text, where);
  Json::sax_parse(text.begin(), text.end(), &guard);
  return Json::parse(text.begin(), text.end());
}

const Json& json_member(const Json& object, const char* key, std::string_view where) {
  if (!object.is_object()) {
    throw Error({.what = fmt::format("expected a JSON object, got {}", object.type_name()),
                 .where = std::string(where)});
  }
  auto it = object.find(key);
  if (it == object.end()) {
    throw Error({.what = fmt::format("the key \"{}\" is missing", key), .where = std::string(where)});
  }
  return *it;
}

int64_t json_int(const Json& object, const char* key, std::string_view where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX})) {
    throw Error({.what = fmt::format("\"{}\": expected an integer, got {}", key, value.dump()),
                 .where = std::string(where)});
  }
  return value.get<int64_t>();
}

std::string json_string(const Json& object, const char* key, std::string_view where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_string()) {
    throw Error({.what = fmt::format("\"{}\": expected a string, got {}", key, value.type_name()),
                 .where = std::string(where)});
  }
  return value.get<std::string>();
}

}  // namespace wanslim
