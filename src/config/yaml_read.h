// SPDX-License-Identifier: Apache-2.0
// Typed access to YAML nodes. Every error says where (source:line:column), which value by its path
// ("spec.process[0].qconfig.act.dtype"), what was got and what was expected.
//
//   YamlMap step(view);                      // Error unless a mapping
//   const int64_t rank = step.find("rank") ? step.find("rank")->integer(1, 4096) : 32;
//   step.refuse_unknown();                   // after all find() and need(): Error on any other key
//
// Conversions are those of pydantic's lax mode, with which the reference reads recipes: "8" and 8.0 are
// integers, "1e-5" is a number, 1 and "yes" are booleans; a string is a string only. One difference: a
// boolean is not a number here.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml.h"

namespace wanslim {

// A node with its path. Node and source must outlive the view.
class YamlView {
 public:
  YamlView(const YamlNode& node, std::string_view source, std::string path)
      : node_(&node), source_(source), path_(std::move(path)) {}

  const YamlNode& node() const { return *node_; }
  Place place() const { return node_->place; }
  std::string_view source() const { return source_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return node_->kind == YamlNode::Kind::kNull; }
  bool is_map() const { return node_->kind == YamlNode::Kind::kMap; }
  bool is_list() const { return node_->kind == YamlNode::Kind::kList; }

  std::string string(size_t max_characters = 4096) const;
  // One of `words`; Error names the nearest. `thing`: "dtype", for the message.
  std::string choice(std::string_view thing, std::span<const std::string> words) const;
  int64_t integer(int64_t low, int64_t high) const;
  double number() const;  // finite
  bool boolean() const;
  std::vector<YamlView> list() const;
  std::vector<std::string> strings(size_t max_characters) const;

  // "path: expected a list, got a string ("*")".
  [[noreturn]] void wrong_type(std::string_view expected) const;
  // "path: what".
  [[noreturn]] void fail(std::string_view what, std::string hint = {}) const;

 private:
  const YamlNode* node_;
  std::string_view source_;
  std::string path_;
};

// A mapping whose keys are asked for by name.
class YamlMap {
 public:
  explicit YamlMap(const YamlView& view);

  const YamlView& view() const { return view_; }
  // The value of a key, empty if it is absent. `null` counts as present.
  std::optional<YamlView> find(std::string_view key);
  // As find; Error if absent.
  YamlView need(std::string_view key);
  // Marks a key as known without reading it.
  void allow(std::string_view key) { known_.emplace_back(key); }
  // Entries whose keys nobody asked for.
  std::vector<YamlView> unknown() const;
  // "unknown key "x" - did you mean "y"?" for an entry of unknown().
  std::string describe_unknown(const YamlView& entry) const;
  void refuse_unknown() const;

 private:
  std::string child_path(std::string_view key) const;

  YamlView view_;
  std::vector<std::string> known_;
};

}  // namespace wanslim
