// SPDX-License-Identifier: Apache-2.0
// Text to Json and back.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace wanslim {
namespace {

using Nlohmann = nlohmann::ordered_json;

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

Nlohmann to_nlohmann(const Json& json) {
  if (json.is_object()) {
    Nlohmann out = Nlohmann::object();
    // Not looked up by key, which takes as many steps as there are keys.
    auto& members = out.get_ref<Nlohmann::object_t&>();
    members.reserve(json.size());
    for (const auto& [key, value] : json.items()) {
      members.Nlohmann::object_t::Container::emplace_back(key, to_nlohmann(value));
    }
    return out;
  }
  if (json.is_array()) {
    Nlohmann out = Nlohmann::array();
    for (const Json& value : json) out.push_back(to_nlohmann(value));
    return out;
  }
  if (json.is_null()) return nullptr;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number_unsigned()) return json.get<uint64_t>();
  if (json.is_number_integer()) return json.get<int64_t>();
  return json.get<double>();
}

}  // namespace

// Makes the value while the text is read; depth and duplicate keys could not be seen afterwards.
class JsonBuilder final : public nlohmann::json_sax<Nlohmann> {
 public:
  JsonBuilder(std::string_view text, std::string_view where) : text_(text), where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(value); }
  bool binary(binary_t&) override { return false; }  // not in JSON's text
  bool start_object(size_t) override { return open(Json::object()); }
  bool key(string_t& key) override {
    if (!open_.back().keys.insert(key).second) fail(fmt::format("the JSON key \"{}\" stands twice", key));
    std::get<Json::Object>(open_.back().value.value_).keys.push_back(key);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool parse_error(size_t offset, const std::string&, const nlohmann::detail::exception&) override {
    fail(fmt::format("invalid JSON at {}", position(text_, offset)));
  }

 private:
  struct Level {
    Json value;
    std::set<std::string> keys = {};
  };

  [[noreturn]] void fail(std::string what) const {
    throw Error({.what = std::move(what), .where = std::string(where_)});
  }
  bool add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* object = std::get_if<Json::Object>(&open_.back().value.value_)) {
      object->values.push_back(std::move(value));
    } else {
      std::get<Json::Array>(open_.back().value.value_).push_back(std::move(value));
    }
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxDepth) fail(fmt::format("JSON is nested deeper than {} levels", kMaxDepth));
    open_.push_back({.value = std::move(value)});
    return true;
  }
  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  std::string_view text_, where_;
  std::vector<Level> open_;  // arrays and objects around what comes next
  Json root_;
};

std::string Json::dump(int indent, Text text) const {
  using Handler = Nlohmann::error_handler_t;
  return to_nlohmann(*this).dump(indent, ' ', text == Text::kAscii,
                                 text == Text::kStrict ? Handler::strict : Handler::replace);
}

Json parse_json(std::string_view text, std::string_view where) {
  JsonBuilder builder(text, where);
  Nlohmann::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace wanslim
