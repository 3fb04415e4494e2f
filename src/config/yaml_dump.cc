// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_dump.h"

#include <fmt/format.h>

#include <cmath>

#include "base/utf8.h"
#include "config/yaml_scalar.h"

namespace wanslim {
namespace {

using namespace std::string_view_literals;

using Kind = YamlNode::Kind;

constexpr int kStep = 2;

bool is_break(char32_t c) {
  return c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_blank(char32_t c) {
  return c == 0 || c == ' ' || c == '\t' || c == '\r' || is_break(c);
}

bool is_in(char32_t c, std::string_view set) {
  return c < 0x80 && set.find(static_cast<char>(c)) != std::string_view::npos;
}

enum class Style : uint8_t { kPlain, kSingle, kDouble };

// Which styles can hold a text, and whether it spans lines.
struct Shape {
  bool plain = true, single = true, multiline = false;
};

// A character that makes an unquoted text mean something else, at its place in the text.
bool is_indicator(const std::u32string& text, size_t i) {
  const char32_t c = text[i];
  const bool blank_follows = i + 1 >= text.size() || is_blank(text[i + 1]);
  if (i == 0) {
    return is_in(c, "#,[]{}&*!|>'\"%@`") || (is_in(c, "?:-") && blank_follows);
  }
  return (c == ':' && blank_follows) || (c == '#' && is_blank(text[i - 1]));
}

Shape shape_of(const std::u32string& text) {
  Shape shape;
  if (text.empty()) return {.plain = false, .single = true, .multiline = false};
  if (text.rfind(U"---", 0) == 0 || text.rfind(U"...", 0) == 0) shape.plain = false;
  bool special = false, after_space = false, after_break = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (is_indicator(text, i)) shape.plain = false;
    if (c != '\n' && (c < 0x20 || c > 0x7E)) special = true;
    shape.multiline = shape.multiline || is_break(c);
    if (c == ' ' && after_break) shape.plain = shape.single = false;
    if (is_break(c) && after_space) special = true;
    after_space = c == ' ';
    after_break = is_break(c);
  }
  const auto edge = [](char32_t c) { return c == ' ' || is_break(c); };
  if (edge(text.front()) || edge(text.back()) || shape.multiline) shape.plain = false;
  if (special) shape.plain = shape.single = false;
  return shape;
}

// The text of a scalar in a file, and whether it may stand there unquoted.
struct Scalar {
  std::u32string text;
  bool is_string = false;
};

std::string number_text(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value < 0 ? "-.inf" : ".inf";
  std::string text = python_float_repr(value);
  // YAML 1.1 wants a dot in front of an exponent.
  if (text.find('.') == std::string::npos) text.replace(text.find('e'), 1, ".0e");
  return text;
}

std::string integer_text(const YamlNode& node) {
  if (!node.big) return std::to_string(node.integer);
  std::string digits;
  for (const char c : node.text) {
    if (c != '_' && c != '+') digits.push_back(c);
  }
  return digits;
}

std::string scalar_text(const YamlNode& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return node.boolean ? "true" : "false";
    case Kind::kInt:
      return integer_text(node);
    case Kind::kFloat:
      return number_text(node.number);
    default:
      return node.text;
  }
}

// The escape of a character inside double quotes.
std::string escaped(char32_t c) {
  constexpr std::u32string_view kFrom = U"\0\a\b\t\n\v\f\r\x1B\"\\\u0085\u00A0\u2028\u2029"sv;
  constexpr std::string_view kTo = "0abtnvfre\"\\N_LP";
  const size_t known = kFrom.find(c);
  if (known != std::u32string_view::npos) return {'\\', kTo[known]};
  const auto code = static_cast<uint32_t>(c);
  if (c <= 0xFF) return fmt::format("\\x{:02X}", code);
  return c <= 0xFFFF ? fmt::format("\\u{:04X}", code) : fmt::format("\\U{:08X}", code);
}

bool needs_escape(char32_t c) {
  return c == '"' || c == '\\' || c < 0x20 || c > 0x7E;
}

class Writer {
 public:
  explicit Writer(int width) : width_(width) {}
  std::string out;

  void document(const YamlNode& root) {
    indent_ = 0;
    node(root, false);
    out += '\n';
  }

 private:
  void put(std::u32string_view text) {
    for (const char32_t c : text) append_utf8(c, out);
    column_ += static_cast<int>(text.size());
  }
  void line_break() {
    out += '\n';
    column_ = 0;
    whitespace_ = indention_ = true;
  }
  void put_indent() {
    if (!indention_ || column_ > indent_ || (column_ == indent_ && !whitespace_)) line_break();
    if (column_ >= indent_) return;
    out.append(static_cast<size_t>(indent_ - column_), ' ');
    column_ = indent_;
    whitespace_ = true;
  }
  void indicator(std::u32string_view text, bool needs_space, bool keeps_indention = false) {
    if (needs_space && !whitespace_) put(U" ");
    put(text);
    whitespace_ = false;
    indention_ = indention_ && keeps_indention;
  }

  void node(const YamlNode& n, bool in_map);
  void list(const YamlNode& n, bool in_map);
  void map(const YamlNode& n);
  void scalar(const YamlNode& n);
  void text(const Scalar& s, bool is_key);
  void plain(const std::u32string& text, bool split);
  void single_quoted(const std::u32string& text, bool split);
  void double_quoted(const std::u32string& text, bool split);

  int width_, indent_ = 0, column_ = 0;
  bool whitespace_ = true, indention_ = true, root_ = true;
};

void Writer::node(const YamlNode& n, bool in_map) {
  if (n.kind == Kind::kList) {
    list(n, in_map);
  } else if (n.kind == Kind::kMap) {
    map(n);
  } else {
    scalar(n);
  }
}

void Writer::list(const YamlNode& n, bool in_map) {
  if (n.items.empty()) {
    indicator(U"[]", true);
    return;
  }
  const int saved = indent_;
  const bool indentless = in_map && !indention_;
  if (!root_ && !indentless) indent_ += kStep;
  root_ = false;
  for (const YamlNode& item : n.items) {
    put_indent();
    indicator(U"-", true, true);
    node(item, false);
  }
  indent_ = saved;
}

void Writer::map(const YamlNode& n) {
  if (n.items.empty()) {
    indicator(U"{}", true);
    return;
  }
  const int saved = indent_;
  if (!root_) indent_ += kStep;
  root_ = false;
  for (const YamlNode& item : n.items) {
    const Scalar key{utf8_to_code_points(item.key), true};
    // PyYAML adds the length of the tag "!!str" to the key's.
    const bool simple = !key.text.empty() && key.text.size() + 5 < 128 && !shape_of(key.text).multiline;
    put_indent();
    if (simple) {
      text(key, true);
      indicator(U":", false);
    } else {
      indicator(U"?", true, true);
      indent_ += kStep;
      text(key, false);
      indent_ -= kStep;
      put_indent();
      indicator(U":", true, true);
    }
    node(item, true);
  }
  indent_ = saved;
}

void Writer::scalar(const YamlNode& n) {
  const Scalar s{utf8_to_code_points(scalar_text(n)), n.kind == Kind::kString || n.kind == Kind::kDate};
  indent_ += kStep;
  root_ = false;
  text(s, false);
  indent_ -= kStep;
}

void Writer::text(const Scalar& s, bool is_key) {
  const Shape shape = shape_of(s.text);
  std::string bytes;
  for (const char32_t c : s.text) append_utf8(c, bytes);
  const bool stays_string = resolve_plain_scalar(bytes) == YamlTag::kString;
  if (!s.is_string || (shape.plain && stays_string)) {
    plain(s.text, !is_key);
  } else if (shape.single && !(is_key && shape.multiline)) {
    single_quoted(s.text, !is_key);
  } else {
    double_quoted(s.text, !is_key);
  }
}

void Writer::plain(const std::u32string& text, bool split) {
  if (!whitespace_) put(U" ");
  whitespace_ = indention_ = false;
  size_t start = 0;
  bool spaces = false;
  for (size_t end = 0; end <= text.size(); ++end) {
    const bool at_end = end == text.size();
    if (spaces && (at_end || text[end] != ' ')) {
      if (start + 1 == end && column_ > width_ && split) {
        put_indent();
        whitespace_ = indention_ = false;
      } else {
        put(std::u32string_view(text).substr(start, end - start));
      }
      start = end;
    } else if (!spaces && (at_end || text[end] == ' ')) {
      put(std::u32string_view(text).substr(start, end - start));
      start = end;
    }
    if (!at_end) spaces = text[end] == ' ';
  }
}

void Writer::single_quoted(const std::u32string& text, bool split) {
  indicator(U"'", true);
  const std::u32string_view view = text;
  enum class Run : uint8_t { kText, kSpaces, kBreaks } run = Run::kText;
  size_t start = 0;
  for (size_t end = 0; end <= text.size(); ++end) {
    const bool at_end = end == text.size();
    const char32_t c = at_end ? 0 : text[end];
    if (run == Run::kSpaces && (at_end || c != ' ')) {
      if (start + 1 == end && column_ > width_ && split && start != 0 && !at_end) {
        put_indent();
      } else {
        put(view.substr(start, end - start));
      }
      start = end;
    } else if (run == Run::kBreaks && (at_end || !is_break(c))) {
      if (text[start] == '\n') line_break();
      for (size_t i = start; i < end; ++i) line_break();
      put_indent();
      start = end;
    } else if (run == Run::kText && (at_end || c == ' ' || is_break(c) || c == '\'')) {
      put(view.substr(start, end - start));
      start = end;
    }
    if (at_end) break;
    if (c == '\'') {
      put(U"''");
      start = end + 1;
    }
    run = c == ' ' ? Run::kSpaces : is_break(c) ? Run::kBreaks : Run::kText;
  }
  indicator(U"'", false);
}

void Writer::double_quoted(const std::u32string& text, bool split) {
  indicator(U"\"", true);
  const std::u32string_view view = text;
  size_t start = 0;
  for (size_t end = 0; end <= text.size(); ++end) {
    const bool at_end = end == text.size();
    const char32_t c = at_end ? 0 : text[end];
    if (at_end || needs_escape(c)) {
      if (start < end) put(view.substr(start, end - start));
      start = end;
      if (at_end) break;
      put(utf8_to_code_points(escaped(c)));
      start = end + 1;
    }
    const int pending = start < end ? static_cast<int>(end - start) : 0;
    const int ahead = start > end ? -1 : pending;
    if (end > 0 && end + 1 < text.size() && (c == ' ' || start >= end) && column_ + ahead > width_ && split) {
      put(view.substr(start > end ? end : start, static_cast<size_t>(pending)));
      if (start < end) start = end;
      put(U"\\");
      put_indent();
      whitespace_ = indention_ = false;
      if (start < text.size() && text[start] == ' ') put(U"\\");
    }
  }
  indicator(U"\"", false);
}

void quote(std::string_view text, std::string& out) {
  out += '"';
  for (const char32_t c : utf8_to_code_points(text)) {
    if (needs_escape(c)) {
      out += escaped(c);
    } else {
      append_utf8(c, out);
    }
  }
  out += '"';
}

void flow(const YamlNode& node, std::string& out) {
  const bool is_map = node.kind == Kind::kMap;
  if (!is_map && node.kind != Kind::kList) {
    const bool is_text = node.kind == Kind::kString || node.kind == Kind::kDate;
    if (is_text) {
      quote(node.text, out);
    } else {
      out += scalar_text(node);
    }
    return;
  }
  out += is_map ? '{' : '[';
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) out += ", ";
    if (is_map) {
      quote(node.items[i].key, out);
      out += ": ";
    }
    flow(node.items[i], out);
  }
  out += is_map ? '}' : ']';
}

}  // namespace

std::string yaml_dump(const YamlNode& root, int width) {
  Writer writer(width);
  writer.document(root);
  return writer.out;
}

std::string yaml_flow(const YamlNode& node) {
  std::string out;
  flow(node, out);
  return out;
}

}  // namespace wanslim
