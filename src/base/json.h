// SPDX-License-Identifier: Apache-2.0
// JSON: a value, its text, typed access. Objects keep the order of their keys.
//
//   Json j = {{"name", "x"}, {"shape", {2, 3}}};      pairs whose first is a string make an object, else an
//   array j["scale"] = 0.5;                                 null becomes an object, a missing key is added
//   for (const auto& [key, value] : j.items()) ...    begin() and end() walk the values alone
//
// parse_json refuses duplicate keys, more than 64 levels, trailing bytes and invalid UTF-8; the Error names
// `where` with line and column. get<T>() and at() throw Error if the value is of another type or missing.
// The library underneath stands in json_text.cc alone: its header would cost every file a second to compile.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace wanslim {

class Json {
 public:
  struct Item {
    const std::string& key;
    const Json& value;
  };
  class Items;
  enum class Text : uint8_t {
    kStrict,    // invalid UTF-8 in a string throws
    kReplaced,  // ... becomes U+FFFD
    kAscii,     // ... that too, and what is not ASCII becomes \uXXXX
  };

  // NOLINTBEGIN(google-explicit-constructor): values stand for themselves in {{"key", value}, ...}
  Json();
  Json(std::nullptr_t);
  template <class Number>
  requires std::is_arithmetic_v<Number> Json(Number value) {
    if constexpr (std::is_same_v<Number, bool>) {
      value_ = value;
    } else if constexpr (std::is_floating_point_v<Number>) {
      value_ = static_cast<double>(value);
    } else if constexpr (std::is_signed_v<Number>) {
      value_ = static_cast<int64_t>(value);
    } else {
      value_ = static_cast<uint64_t>(value);
    }
  }
  template <class String>
  requires std::convertible_to<const String&, std::string_view> Json(const String& text)
      : Json(Exactly{}, std::string_view(text)) {}
  template <class List>
  requires(!std::convertible_to<const List&, std::string_view>) && requires { typename List::value_type; }
  Json(const List& list) : Json(array()) {
    if constexpr (requires { typename List::mapped_type; }) {
      *this = object();
      for (const auto& [key, value] : list) (*this)[key] = value;
    } else {
      for (const auto& value : list) push_back(value);
    }
  }
  Json(std::initializer_list<Json> list);
  // NOLINTEND(google-explicit-constructor)
  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();
  static Json array(std::initializer_list<Json> list = {});
  static Json object();

  bool is_null() const;
  bool is_boolean() const;
  bool is_string() const;
  bool is_array() const;
  bool is_object() const;
  bool is_number() const;
  bool is_number_integer() const;   // of either sign
  bool is_number_unsigned() const;  // written without a sign and a point, or from an unsigned type
  const char* type_name() const;    // "null", "boolean", "number", "string", "array", "object"

  // bool, arithmetic types, std::string, and vectors and maps of them.
  template <class T>
  T get() const;

  size_t size() const;  // members; 0 for null, 1 for other values
  bool empty() const { return size() == 0; }
  const Json* begin() const;
  const Json* end() const;
  const Json& back() const { return end()[-1]; }
  Items items() const;  // of an object

  bool contains(std::string_view key) const { return find(key) != end(); }
  const Json* find(std::string_view key) const;  // end() if it is missing or this is no object
  const Json& at(std::string_view key) const;
  const Json& operator[](std::string_view key) const { return at(key); }
  Json& operator[](std::string_view key);
  template <std::integral Index>
  const Json& operator[](Index index) const {
    return element(static_cast<size_t>(index));
  }
  template <std::integral Index>
  Json& operator[](Index index) {
    return const_cast<Json&>(element(static_cast<size_t>(index)));
  }
  template <class T>
  T value(std::string_view key, const T& otherwise) const {
    const Json* found = find(key);
    if constexpr (std::is_same_v<T, Json>) {
      return found == end() ? otherwise : *found;
    } else {
      return found == end() ? otherwise : found->get<T>();
    }
  }
  void push_back(Json value);       // null becomes an array
  void update(const Json& object);  // sets each of its members here

  // indent < 0: one line without spaces.
  std::string dump(int indent = -1, Text text = Text::kStrict) const;
  friend bool operator==(const Json& a, const Json& b);  // numbers by value; objects with the order of keys
  friend std::ostream& operator<<(std::ostream& out, const Json& json);

 private:
  using Array = std::vector<Json>;
  struct Object {
    std::vector<std::string> keys;
    std::vector<Json> values;
  };
  struct Exactly {};
  Json(Exactly, std::string_view text);
  friend class JsonBuilder;

  const Json& element(size_t index) const;
  int64_t integer() const;  // the bits; larger ones than int64_t hold are unsigned
  double number() const;
  bool boolean() const;
  const std::string& string() const;
  const Json& expect(bool right, const char* expected) const;  // *this

  std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, Array, Object> value_;
};

class Json::Items {
 public:
  struct Iterator {
    const std::string* key;
    const Json* value;
    Item operator*() const { return {*key, *value}; }
    Iterator& operator++() {
      ++key, ++value;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return value != other.value; }
  };
  Items(const std::string* keys, const Json* begin, const Json* end)
      : keys_(keys), begin_(begin), end_(end) {}
  Iterator begin() const { return {keys_, begin_}; }
  Iterator end() const { return {nullptr, end_}; }

 private:
  const std::string* keys_;
  const Json *begin_, *end_;
};

template <class T>
T Json::get() const {
  if constexpr (std::is_same_v<T, bool>) {
    return boolean();
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(number());
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(integer());
  } else if constexpr (std::is_same_v<T, std::string>) {
    return string();
  } else if constexpr (requires { typename T::mapped_type; }) {
    T out;
    for (const Item item : expect(is_object(), "an object").items())
      out.emplace(item.key, item.value.template get<typename T::mapped_type>());
    return out;
  } else {
    T out;
    for (const Json& value : expect(is_array(), "an array"))
      out.push_back(value.get<typename T::value_type>());
    return out;
  }
}

Json parse_json(std::string_view text, std::string_view where);

// Typed access with an Error that names `where`, the key, and what was got and expected.
const Json& json_member(const Json& object, const char* key, std::string_view where);
int64_t json_int(const Json& object, const char* key, std::string_view where);
std::string json_string(const Json& object, const char* key, std::string_view where);

}  // namespace wanslim
