// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "base/error.h"

namespace wanslim {

Json::Json() = default;
Json::Json(std::nullptr_t) {}
Json::Json(Exactly, std::string_view text) : value_(std::string(text)) {}
Json::Json(std::initializer_list<Json> list) {
  const auto is_member = [](const Json& j) { return j.is_array() && j.size() == 2 && j[0].is_string(); };
  if (std::all_of(list.begin(), list.end(), is_member)) {
    *this = object();
    for (const Json& member : list) (*this)[member[0].string()] = member[1];
  } else {
    value_ = Array(list);
  }
}
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::array(std::initializer_list<Json> list) {
  Json out;
  out.value_ = Array(list);
  return out;
}
Json Json::object() {
  Json out;
  out.value_ = Object();
  return out;
}

bool Json::is_null() const {
  return std::holds_alternative<std::nullptr_t>(value_);
}
bool Json::is_boolean() const {
  return std::holds_alternative<bool>(value_);
}
bool Json::is_string() const {
  return std::holds_alternative<std::string>(value_);
}
bool Json::is_array() const {
  return std::holds_alternative<Array>(value_);
}
bool Json::is_object() const {
  return std::holds_alternative<Object>(value_);
}
bool Json::is_number() const {
  return is_number_integer() || std::holds_alternative<double>(value_);
}
bool Json::is_number_integer() const {
  return is_number_unsigned() || std::holds_alternative<int64_t>(value_);
}
bool Json::is_number_unsigned() const {
  return std::holds_alternative<uint64_t>(value_);
}
const char* Json::type_name() const {
  constexpr const char* kNames[] = {"null",   "boolean", "number", "number",
                                    "number", "string",  "array",  "object"};
  return kNames[value_.index()];
}

size_t Json::size() const {
  return is_null() ? 0 : is_array() || is_object() ? static_cast<size_t>(end() - begin()) : 1;
}
const Json* Json::begin() const {
  if (const auto* object = std::get_if<Object>(&value_)) return object->values.data();
  const auto* list = std::get_if<Array>(&value_);
  return list ? list->data() : nullptr;
}
const Json* Json::end() const {
  if (const auto* object = std::get_if<Object>(&value_)) return object->values.data() + object->values.size();
  const auto* list = std::get_if<Array>(&value_);
  return list ? list->data() + list->size() : nullptr;
}
Json::Items Json::items() const {
  const auto& object = std::get<Object>(expect(is_object(), "an object").value_);
  return {object.keys.data(), begin(), end()};
}

const Json* Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  if (!object) return end();
  return begin() + (std::ranges::find(object->keys, key) - object->keys.begin());
}
const Json& Json::at(std::string_view key) const {
  const Json* found = expect(is_object(), "an object").find(key);
  if (found == end()) throw Error({.what = fmt::format("the key \"{}\" is missing", key)});
  return *found;
}
Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object();
  auto& object = std::get<Object>(value_);
  const size_t index = static_cast<size_t>(std::ranges::find(object.keys, key) - object.keys.begin());
  if (index == object.keys.size()) {
    object.keys.emplace_back(key);
    object.values.emplace_back();
  }
  return object.values[index];
}
const Json& Json::element(size_t index) const {
  expect(is_array(), "an array");
  if (index >= size())
    throw Error({.what = fmt::format("a list of {}, expected more than {}", size(), index)});
  return begin()[index];
}
void Json::push_back(Json value) {
  if (is_null()) value_ = Array();
  std::get<Array>(value_).push_back(std::move(value));
}
void Json::update(const Json& object) {
  for (const auto& [key, value] : object.items()) (*this)[key] = value;
}

const Json& Json::expect(bool right, const char* expected) const {
  if (!right) throw Error({.what = fmt::format("expected {}, got a JSON {}", expected, type_name())});
  return *this;
}
int64_t Json::integer() const {
  expect(is_number_integer(), "an integer");
  const auto* value = std::get_if<int64_t>(&value_);
  return value ? *value : static_cast<int64_t>(std::get<uint64_t>(value_));
}
double Json::number() const {
  expect(is_number(), "a number");
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  return is_number_unsigned() ? static_cast<double>(std::get<uint64_t>(value_))
                              : static_cast<double>(std::get<int64_t>(value_));
}
bool Json::boolean() const {
  return std::get<bool>(expect(is_boolean(), "true or false").value_);
}
const std::string& Json::string() const {
  return std::get<std::string>(expect(is_string(), "a string").value_);
}

bool operator==(const Json& a, const Json& b) {
  if (a.is_number_integer() && b.is_number_integer()) {
    const bool below_zero = a.is_number_unsigned() ? false : a.integer() < 0;
    return a.integer() == b.integer() && below_zero == (b.is_number_unsigned() ? false : b.integer() < 0);
  }
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.value_.index() != b.value_.index() || a.size() != b.size()) return false;
  if (a.is_object() && std::get<Json::Object>(a.value_).keys != std::get<Json::Object>(b.value_).keys)
    return false;
  if (a.is_object() || a.is_array()) return std::equal(a.begin(), a.end(), b.begin());
  if (a.is_string()) return a.string() == b.string();
  return a.is_null() || a.boolean() == b.boolean();
}

std::ostream& operator<<(std::ostream& out, const Json& json) {
  return out << json.dump();
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
