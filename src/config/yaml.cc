// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "config/yaml_events.h"
#include "config/yaml_scalar.h"

namespace wanslim {
namespace {

using Kind = YamlNode::Kind;

// Line and column of a byte of the text, 1-based.
Place place_of(std::string_view text, size_t offset) {
  Place place{1, 1};
  for (size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++place.line;
      place.column = 1;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++place.column;
    }
  }
  return place;
}

// PyYAML reads printable characters only. Refused as well: U+0085, U+2028 and U+2029, line breaks in YAML 1.1
// and none in 1.2, and U+FEFF anywhere but at the start.
bool is_allowed(char32_t c) {
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7F) ||
         (c >= 0xA0 && c != 0x2028 && c != 0x2029 && c != 0xFEFF && c != 0xFFFE && c != 0xFFFF);
}

void check_characters(std::string_view text, std::string_view source, const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    throw Error({.what = fmt::format("the text has {} bytes, at most {} are read", text.size(), limits.bytes),
                 .where = std::string(source),
                 .hint = "a recipe is a few KiB of YAML; is this the right file?"});
  }
  const size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    yaml_error(source, place_of(text, bad),
               fmt::format("byte 0x{:02X} is not UTF-8", static_cast<unsigned char>(text[bad])),
               "save the file as UTF-8");
  }
  Place place{1, 1};
  const std::string_view body = text.substr(text.rfind("\xEF\xBB\xBF", 0) == 0 ? 3 : 0);
  for (const char32_t c : utf8_to_code_points(body)) {
    if (!is_allowed(c)) {
      yaml_error(source, place,
                 fmt::format("character U+{:04X} is not allowed in YAML", static_cast<uint32_t>(c)),
                 "remove the character, or write it as an escape in double quotes");
    }
    place = c == '\n' ? Place{place.line + 1, 1} : Place{place.line, place.column + 1};
  }
}

// What a node costs: bounds on aliases are checked before anything is copied.
struct Size {
  size_t nodes = 1, text = 0;
  int depth = 1;
};

struct Anchor {
  YamlNode node = {};
  Size size = {};
  bool open = true;  // its node is still being read
};

class Builder {
 public:
  Builder(std::string_view text, std::string_view source, const YamlLimits& limits)
      : source_(source), limits_(limits), events_(text, source) {}
  YamlNode build();

 private:
  using Type = YamlEvent::Type;

  void next() { event_ = events_.next(); }
  [[noreturn]] void fail(Place place, std::string what, std::string hint = {}) const {
    yaml_error(source_, place, std::move(what), std::move(hint));
  }

  std::pair<YamlNode, Size> read_node(int depth);
  YamlNode read_scalar() const;
  void read_list(int depth, YamlNode& node, Size& size);
  void read_map(int depth, YamlNode& node, Size& size);
  std::pair<YamlNode, Size> read_alias(int depth);
  using KeyLines = std::unordered_map<std::string, int>;
  void add_entry(YamlNode value, YamlNode& map, KeyLines& seen) const;
  void merge(const YamlNode& value, YamlNode& map, KeyLines& seen) const;
  void count(Size& total, const Size& part, Place place) const;

  std::string source_;
  YamlLimits limits_;
  YamlEvents events_;
  YamlEvent event_;
  std::map<std::string, Anchor> anchors_;
  size_t anchored_nodes_ = 0, anchored_text_ = 0;
};

YamlNode Builder::build() {
  next();
  if (event_.type == Type::kEnd) return YamlNode{.place = {1, 1}};
  next();
  YamlNode root = read_node(1).first;
  next();
  if (event_.type != Type::kEnd) {
    fail(event_.place, "a second YAML document starts here",
         "keep one document in the file; remove the \"---\"");
  }
  return root;
}

void Builder::count(Size& total, const Size& part, Place place) const {
  total.nodes += part.nodes;
  total.text += part.text;
  total.depth = std::max(total.depth, part.depth + 1);
  if (total.nodes > limits_.nodes || total.text > limits_.text) {
    fail(place,
         fmt::format(
             "the document is too large once its aliases are expanded (more than {} values or {} bytes)",
             limits_.nodes, limits_.text));
  }
}

// Reads the node that starts at the current event; leaves the event that ends it as the current one.
std::pair<YamlNode, Size> Builder::read_node(int depth) {
  if (depth > limits_.depth) fail(event_.place, fmt::format("nested deeper than {} levels", limits_.depth));
  if (event_.type == Type::kAlias) return read_alias(depth);
  const std::string anchor = event_.anchor;
  const Place start = event_.place;
  if (!anchor.empty()) anchors_[anchor] = Anchor{};
  YamlNode node;
  Size size;
  if (event_.type == Type::kScalar) {
    node = read_scalar();
    size.text = node.text.size();
  } else if (event_.type == Type::kListStart) {
    read_list(depth, node, size);
  } else {
    CHECK(event_.type == Type::kMapStart);
    read_map(depth, node, size);
  }
  node.place = start;
  if (!anchor.empty()) {
    // Copies kept for aliases are bounded too: anchors inside anchors would multiply them.
    anchored_nodes_ += size.nodes;
    anchored_text_ += size.text;
    if (anchored_nodes_ > limits_.nodes || anchored_text_ > limits_.text)
      fail(start, "too much text under anchors");
    anchors_[anchor] = Anchor{.node = node, .size = size, .open = false};
  }
  return {std::move(node), size};
}

std::pair<YamlNode, Size> Builder::read_alias(int depth) {
  const auto found = anchors_.find(event_.text);
  if (found == anchors_.end()) {
    fail(event_.place, fmt::format("alias \"*{}\" names no anchor above it", printable(event_.text)),
         "quote the value if it is a pattern that starts with *");
  }
  const Anchor& anchor = found->second;
  if (anchor.open) fail(event_.place, fmt::format("alias \"*{}\" lies inside what it names", event_.text));
  if (depth + anchor.size.depth - 1 > limits_.depth) {
    fail(event_.place, fmt::format("nested deeper than {} levels through an alias", limits_.depth));
  }
  return {anchor.node, anchor.size};
}

YamlNode Builder::read_scalar() const {
  YamlNode node{.place = event_.place, .text = event_.text};
  YamlTag tag = event_.plain ? resolve_plain_scalar(event_.text) : YamlTag::kString;
  if (event_.tag == "!" || event_.tag == "tag:yaml.org,2002:str") {
    tag = YamlTag::kString;
  } else if (!event_.tag.empty()) {
    const YamlTag plain = resolve_plain_scalar(event_.text);
    const std::map<std::string, YamlTag> kTags = {{"tag:yaml.org,2002:null", YamlTag::kNull},
                                                  {"tag:yaml.org,2002:bool", YamlTag::kBool},
                                                  {"tag:yaml.org,2002:int", YamlTag::kInt},
                                                  {"tag:yaml.org,2002:float", YamlTag::kFloat}};
    const auto known = kTags.find(event_.tag);
    if (known == kTags.end()) {
      fail(event_.place, fmt::format("tag \"{}\" is not read", printable(event_.tag)), "remove the tag");
    }
    tag = known->second;
    const bool int_as_float = tag == YamlTag::kFloat && plain == YamlTag::kInt;
    if (tag != plain && !int_as_float) {
      fail(event_.place, fmt::format("\"{}\" does not fit its tag", printable(event_.text)),
           "remove the tag");
    }
    if (int_as_float) node.number = static_cast<double>(yaml_int(event_.text).value_or(0));
  }
  switch (tag) {
    case YamlTag::kNull:
      node.kind = Kind::kNull;
      break;
    case YamlTag::kDate:
      node.kind = Kind::kDate;
      break;
    case YamlTag::kBool:
      node.kind = Kind::kBool;
      node.boolean = yaml_bool(node.text);
      break;
    case YamlTag::kInt: {
      node.kind = Kind::kInt;
      const std::optional<int64_t> value = yaml_int(node.text);
      node.big = !value;
      node.integer = value.value_or(0);
      break;
    }
    case YamlTag::kFloat:
      node.kind = Kind::kFloat;
      if (resolve_plain_scalar(node.text) == YamlTag::kFloat) node.number = yaml_float(node.text);
      break;
    default:
      node.kind = Kind::kString;
      break;
  }
  return node;
}

void Builder::read_list(int depth, YamlNode& node, Size& size) {
  if (!event_.tag.empty() && event_.tag != "tag:yaml.org,2002:seq") {
    fail(event_.place, fmt::format("tag \"{}\" is not read", printable(event_.tag)), "remove the tag");
  }
  node.kind = Kind::kList;
  for (next(); event_.type != Type::kListEnd; next()) {
    const Place place = event_.place;
    auto [item, cost] = read_node(depth + 1);
    count(size, cost, place);
    node.items.push_back(std::move(item));
  }
}

void Builder::read_map(int depth, YamlNode& node, Size& size) {
  if (!event_.tag.empty() && event_.tag != "tag:yaml.org,2002:map") {
    fail(event_.place, fmt::format("tag \"{}\" is not read", printable(event_.tag)), "remove the tag");
  }
  node.kind = Kind::kMap;
  std::vector<YamlNode> own;
  KeyLines seen;
  for (next(); event_.type != Type::kMapEnd; next()) {
    const Place place = event_.place;
    const bool plain = event_.type == Type::kScalar && event_.plain && event_.tag.empty();
    YamlNode key = read_node(depth + 1).first;
    if (key.kind != Kind::kString) {
      fail(place,
           fmt::format("a key must be a string, this is {}{}", kind_name(key.kind),
                       key.text.empty() ? "" : fmt::format(" ({})", printable(key.text))),
           "put the key in quotes");
    }
    if (key.text.size() > 512) fail(place, "a key is longer than 512 bytes");
    next();
    const Place value_place = event_.place;
    auto [value, cost] = read_node(depth + 1);
    cost.text += key.text.size();
    count(size, cost, value_place);
    if (plain && resolve_plain_scalar(key.text) == YamlTag::kMerge) {
      merge(value, node, seen);
      continue;
    }
    value.key = std::move(key.text);
    value.key_place = place;
    own.push_back(std::move(value));
  }
  for (YamlNode& value : own) add_entry(std::move(value), node, seen);
}

void Builder::add_entry(YamlNode value, YamlNode& map, KeyLines& seen) const {
  const auto [first, is_new] = seen.emplace(value.key, value.key_place.line);
  if (!is_new) {
    fail(value.key_place,
         fmt::format("key \"{}\" stands twice in one mapping, first at line {}", printable(value.key),
                     first->second),
         "remove one of the two");
  }
  map.items.push_back(std::move(value));
}

// "<<: *a" or "<<: [*a, *b]": their entries come first, of a list the last mapping's before the first's.
void Builder::merge(const YamlNode& value, YamlNode& map, KeyLines& seen) const {
  std::vector<const YamlNode*> maps;
  if (value.kind == Kind::kMap) maps.push_back(&value);
  if (value.kind == Kind::kList) {
    for (size_t i = value.items.size(); i-- > 0;) maps.push_back(&value.items[i]);
  }
  if (value.kind != Kind::kMap && value.kind != Kind::kList) {
    fail(value.place, fmt::format("\"<<\" needs a mapping or a list of them, got {}", kind_name(value.kind)));
  }
  for (const YamlNode* source : maps) {
    if (source->kind != Kind::kMap) {
      fail(source->place, fmt::format("\"<<\" needs mappings, got {}", kind_name(source->kind)));
    }
    for (const YamlNode& entry : source->items) add_entry(entry, map, seen);
  }
}

}  // namespace

YamlNode parse_yaml(std::string_view text, std::string_view source, const YamlLimits& limits) {
  check_characters(text, source, limits);
  return Builder(text, source, limits).build();
}

void yaml_error(std::string_view source, Place place, std::string what, std::string hint) {
  throw Error({.what = std::move(what),
               .where = place.line > 0 ? fmt::format("{}:{}:{}", source, place.line, place.column)
                                       : std::string(source),
               .hint = std::move(hint)});
}

std::string_view kind_name(YamlNode::Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "a boolean";
    case Kind::kInt:
      return "an integer";
    case Kind::kFloat:
      return "a number";
    case Kind::kDate:
      return "a date";
    case Kind::kString:
      return "a string";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a mapping";
  }
  return "?";
}

YamlNode yaml_string(std::string_view text) {
  YamlNode node;
  node.kind = Kind::kString;
  node.text = text;
  return node;
}

YamlNode yaml_integer(int64_t value) {
  YamlNode node;
  node.kind = Kind::kInt;
  node.integer = value;
  node.text = std::to_string(value);
  return node;
}

YamlNode yaml_real(double value) {
  YamlNode node;
  node.kind = Kind::kFloat;
  node.number = value;
  node.text = python_float_repr(value);
  return node;
}

YamlNode yaml_boolean(bool value) {
  YamlNode node;
  node.kind = Kind::kBool;
  node.boolean = value;
  node.text = value ? "true" : "false";
  return node;
}

YamlNode yaml_list() {
  YamlNode node;
  node.kind = Kind::kList;
  return node;
}

YamlNode yaml_map() {
  YamlNode node;
  node.kind = Kind::kMap;
  return node;
}

YamlNode& yaml_put(YamlNode& map, std::string_view key, YamlNode value) {
  value.key = key;
  map.items.push_back(std::move(value));
  return map.items.back();
}

}  // namespace wanslim
