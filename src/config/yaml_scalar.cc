// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace wanslim {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// A cursor over a scalar: each take_* moves over what it names and says how many characters that were.
struct Cursor {
  std::string_view text;
  size_t at = 0;

  bool done() const { return at == text.size(); }
  char peek() const { return done() ? '\0' : text[at]; }
  bool take(std::string_view set) {
    if (done() || set.find(text[at]) == std::string_view::npos) return false;
    ++at;
    return true;
  }
  size_t take_all(std::string_view set) {
    const size_t start = at;
    while (take(set)) {
    }
    return at - start;
  }
};

constexpr std::string_view kDigits = "0123456789", kDigitsAnd_ = "0123456789_";

// The tail of a sexagesimal number, one or more ":59".
bool take_sixties(Cursor& c) {
  int groups = 0;
  while (c.take(":")) {
    const size_t start = c.at;
    const size_t digits = c.take_all(kDigits);
    if (digits < 1 || digits > 2 || (digits == 2 && c.text[start] > '5')) return false;
    ++groups;
  }
  return groups > 0;
}

bool is_int(std::string_view text) {
  Cursor c{text};
  c.take("+-");
  const std::string_view rest = text.substr(c.at);
  if (rest.empty() || !is_digit(rest[0])) return false;
  if (rest[0] == '0') {
    if (rest.size() == 1) return true;
    if (rest[1] == 'b') return rest.size() > 2 && rest.find_first_not_of("01_", 2) == std::string_view::npos;
    if (rest[1] == 'x')
      return rest.size() > 2 &&
             rest.find_first_not_of("0123456789abcdefABCDEF_", 2) == std::string_view::npos;
    return rest.find_first_not_of("01234567_", 1) == std::string_view::npos;
  }
  c.take_all(kDigitsAnd_);
  return c.done() || (take_sixties(c) && c.done());
}

bool is_exponent(Cursor& c) {
  if (c.done()) return true;
  return c.take("eE") && c.take("+-") && c.take_all(kDigits) > 0 && c.done();
}

bool is_float(std::string_view text) {
  if (one_of(text, {".nan", ".NaN", ".NAN"})) return true;
  if (text.size() > 1 && text[0] == '.' && is_digit(text[1])) {
    Cursor c{text, 1};
    c.take_all(kDigitsAnd_);
    return is_exponent(c);
  }
  Cursor c{text};
  c.take("+-");
  if (one_of(text.substr(c.at), {".inf", ".Inf", ".INF"})) return true;
  if (!is_digit(c.peek())) return false;
  c.take_all(kDigitsAnd_);
  if (c.peek() == ':') {
    if (!take_sixties(c) || !c.take(".")) return false;
    c.take_all(kDigitsAnd_);
    return c.done();
  }
  if (!c.take(".")) return false;
  c.take_all(kDigitsAnd_);
  return is_exponent(c);
}

// "2025-01-01", or with one-digit month and day if a time follows: "2025-1-1 12:00:00.5 +01:00".
bool is_date(std::string_view text) {
  Cursor c{text};
  if (c.take_all(kDigits) != 4 || !c.take("-")) return false;
  const size_t month = c.take_all(kDigits);
  if (month < 1 || month > 2 || !c.take("-")) return false;
  const size_t day = c.take_all(kDigits);
  if (day < 1 || day > 2) return false;
  if (c.done()) return month == 2 && day == 2;
  if (!c.take("Tt") && c.take_all(" \t") == 0) return false;
  const size_t hours = c.take_all(kDigits);
  if (hours < 1 || hours > 2) return false;
  for (int i = 0; i < 2; ++i) {
    if (!c.take(":") || c.take_all(kDigits) != 2) return false;
  }
  if (c.take(".")) c.take_all(kDigits);
  if (c.done()) return true;
  c.take_all(" \t");
  if (c.take("Z")) return c.done();
  if (!c.take("+-")) return false;
  const size_t zone = c.take_all(kDigits);
  if (zone < 1 || zone > 2) return false;
  return c.done() || (c.take(":") && c.take_all(kDigits) == 2 && c.done());
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  out.erase(std::remove(out.begin(), out.end(), '_'), out.end());
  return out;
}

// Digits in `base`, or "1:30:00" in base 60, as a magnitude; empty beyond 64 bits.
std::optional<uint64_t> magnitude(std::string_view digits, uint64_t base) {
  unsigned __int128 value = 0, group = 0;
  const bool sixties = digits.find(':') != std::string_view::npos;
  for (const char c : digits) {
    if (c == ':') {
      value = value * 60 + group;
      group = 0;
    } else {
      const int digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
      group = group * base + static_cast<unsigned>(digit);
    }
    if (value > std::numeric_limits<uint64_t>::max() || group > std::numeric_limits<uint64_t>::max())
      return {};
  }
  value = sixties ? value * 60 + group : group;
  if (value > std::numeric_limits<uint64_t>::max()) return {};
  return static_cast<uint64_t>(value);
}

}  // namespace

YamlTag resolve_plain_scalar(std::string_view text) {
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return YamlTag::kNull;
  if (one_of(text, {"yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE",
                    "on", "On", "ON", "off", "Off", "OFF"}))
    return YamlTag::kBool;
  if (text == "<<") return YamlTag::kMerge;
  if (text == "=") return YamlTag::kValue;
  if (is_int(text)) return YamlTag::kInt;
  if (is_float(text)) return YamlTag::kFloat;
  if (is_date(text)) return YamlTag::kDate;
  return YamlTag::kString;
}

bool yaml_bool(std::string_view text) {
  return one_of(text, {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"});
}

std::optional<int64_t> yaml_int(std::string_view text) {
  std::string digits = without_underscores(text);
  bool negative = false;
  if (digits[0] == '+' || digits[0] == '-') {
    negative = digits[0] == '-';
    digits.erase(0, 1);
  }
  uint64_t base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    base = digits[1] == 'b' ? 2 : digits[1] == 'x' ? 16 : 8;
    digits.erase(0, base == 8 ? 1 : 2);
  }
  const std::optional<uint64_t> value = magnitude(digits, base);
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (!value || *value > kMax) return {};
  return negative ? -static_cast<int64_t>(*value) : static_cast<int64_t>(*value);
}

double yaml_float(std::string_view text) {
  std::string digits = without_underscores(text);
  const double sign = digits[0] == '-' ? -1 : 1;
  if (digits[0] == '+' || digits[0] == '-') digits.erase(0, 1);
  if (one_of(digits, {".inf", ".Inf", ".INF"})) return sign * std::numeric_limits<double>::infinity();
  if (one_of(digits, {".nan", ".NaN", ".NAN"})) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  size_t start = 0;
  for (size_t colon = digits.find(':'); colon != std::string::npos; colon = digits.find(':', start)) {
    value = (value + python_float(digits.substr(start, colon - start)).value_or(0)) * 60;
    start = colon + 1;
  }
  return sign * (value + python_float(digits.substr(start)).value_or(0));
}

std::optional<double> python_float(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kBlank) - first + 1);
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits.push_back(text[i]);
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && is_digit(text[i - 1]) && is_digit(text[i + 1]);
    if (!between) return {};
  }
  const std::string_view body =
      digits[0] == '+' ? std::string_view(digits).substr(1) : std::string_view(digits);
  if (body.empty() || body[0] == '+' || (digits[0] == '+' && body[0] == '-')) return {};
  double value = 0;
  const char* end = body.data() + body.size();
  const std::from_chars_result result = std::from_chars(body.data(), end, value);
  if (result.ptr != end) return {};
  // Out of range leaves the value alone: strtod gives infinity or a number near zero, as Python does.
  if (result.ec == std::errc::result_out_of_range) return std::strtod(std::string(body).c_str(), nullptr);
  return result.ec == std::errc() ? std::optional<double>(value) : std::nullopt;
}

std::string python_float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const std::to_chars_result r =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string text(buffer.data(), r.ptr);
  const size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  std::string sign = text[0] == '-' ? "-" : "";
  std::string digits = text.substr(sign.size(), e - sign.size());
  digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
  if (exponent < -4 || exponent >= 16) {
    if (digits.size() > 1) digits.insert(1, ".");
    const std::string power = std::to_string(std::abs(exponent));
    return sign + digits + (exponent < 0 ? "e-" : "e+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.insert(whole, ".");
}

}  // namespace wanslim
