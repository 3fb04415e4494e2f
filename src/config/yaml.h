// SPDX-License-Identifier: Apache-2.0
// YAML text -> a tree of plain nodes. libfyaml (yaml_events.h) only makes events; the tree, aliases, merge
// keys and duplicate keys are ours, so that all of it is bounded.
//
// Scalars get the type that PyYAML's SafeLoader gives them (yaml_scalar.h). Refused, each with its place: a
// duplicate key (also one that a merged mapping brings in, as in the reference), a key that is not a string,
// more than one document, tags other than the core ones, an alias to an enclosing or unknown node, invalid
// UTF-8, control characters, and whatever is larger than the limits below.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/place.h"

namespace wanslim {

struct YamlNode {
  enum class Kind : uint8_t { kNull, kBool, kInt, kFloat, kDate, kString, kList, kMap };
  Kind kind = Kind::kNull;
  Place place = {};
  std::string key = {};  // if the node is a value of a map
  Place key_place = {};
  std::string text = {};  // scalars: as written, escapes resolved
  bool boolean = false;   // kBool
  int64_t integer = 0;    // kInt
  bool big = false;       // kInt beyond 64 bits: only `text` counts
  double number = 0;      // kFloat
  std::vector<YamlNode> items = {};
};

struct YamlLimits {
  size_t bytes = size_t{1} << 20;  // of the text
  size_t nodes = 50000;            // after aliases are expanded
  size_t text = size_t{4} << 20;   // bytes of scalars after aliases are expanded
  int depth = 64;
};

// `source` is the name that errors show. An empty text is one null node.
YamlNode parse_yaml(std::string_view text, std::string_view source, const YamlLimits& limits = {});

// Throws Error with where = "source:line:column".
[[noreturn]] void yaml_error(std::string_view source, Place place, std::string what, std::string hint = {});

// "a string", "an integer", "a list": for messages.
std::string_view kind_name(YamlNode::Kind kind);

// Makers of nodes.
YamlNode yaml_string(std::string_view text);
YamlNode yaml_integer(int64_t value);
YamlNode yaml_real(double value);
YamlNode yaml_boolean(bool value);
YamlNode yaml_list();
YamlNode yaml_map();
// Appends (key, value) to a map and returns the value's place in it, good until the next one.
YamlNode& yaml_put(YamlNode& map, std::string_view key, YamlNode value);

}  // namespace wanslim
