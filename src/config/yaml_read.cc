// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_read.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/spelling.h"
#include "base/utf8.h"
#include "config/yaml_scalar.h"

namespace wanslim {
namespace {

using Kind = YamlNode::Kind;

// "a string ("int9")": what stands there, shortened.
std::string got(const YamlNode& node) {
  if (node.text.empty() || node.kind == Kind::kList || node.kind == Kind::kMap) {
    return std::string(node.kind == Kind::kString ? "an empty string" : kind_name(node.kind));
  }
  std::string shown = printable(std::string_view(node.text).substr(0, 60));
  if (node.text.size() > 60) shown += "...";
  if (node.kind == Kind::kString) shown = fmt::format("\"{}\"", shown);
  return fmt::format("{} ({})", kind_name(node.kind), shown);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// A number from a node, by pydantic's rules; empty if it is none.
std::optional<double> to_number(const YamlNode& node) {
  if (node.kind == Kind::kInt) return node.big ? std::optional<double>() : static_cast<double>(node.integer);
  if (node.kind == Kind::kFloat) return node.number;
  return node.kind == Kind::kString ? python_float(node.text) : std::nullopt;
}

}  // namespace

void YamlView::fail(std::string_view what, std::string hint) const {
  yaml_error(source_, node_->place, path_.empty() ? std::string(what) : fmt::format("{}: {}", path_, what),
             std::move(hint));
}

void YamlView::wrong_type(std::string_view expected) const {
  fail(fmt::format("expected {}, got {}", expected, got(*node_)));
}

std::string YamlView::string(size_t max_characters) const {
  if (node_->kind != Kind::kString) {
    const bool scalar = node_->kind != Kind::kList && node_->kind != Kind::kMap && node_->kind != Kind::kNull;
    fail(fmt::format("expected a string, got {}", got(*node_)), scalar ? "put it in quotes" : "");
  }
  const size_t length = utf8_to_code_points(node_->text).size();
  if (length > max_characters) {
    fail(fmt::format("a text of {} characters, at most {} are allowed", length, max_characters));
  }
  return node_->text;
}

std::string YamlView::choice(std::string_view thing, std::span<const std::string> words) const {
  const std::string word = string();
  if (std::find(words.begin(), words.end(), word) != words.end()) return word;
  fail(fmt::format("unknown {} \"{}\"{}", thing, printable(word), did_you_mean(word, words)),
       fmt::format("expected one of {}", fmt::join(words, ", ")));
}

int64_t YamlView::integer(int64_t low, int64_t high) const {
  const auto range = [&] { return fmt::format("an integer from {} to {}", low, high); };
  if (node_->kind == Kind::kInt) {
    if (node_->big || node_->integer < low || node_->integer > high) wrong_type(range());
    return node_->integer;
  }
  const std::optional<double> value = to_number(*node_);
  if (!value || *value != std::floor(*value)) wrong_type(range());
  if (*value < static_cast<double>(low) || *value > static_cast<double>(high) || std::abs(*value) > 9e15) {
    wrong_type(range());
  }
  return static_cast<int64_t>(*value);
}

double YamlView::number() const {
  const std::optional<double> value = to_number(*node_);
  if (!value || !std::isfinite(*value)) wrong_type("a number");
  return *value;
}

bool YamlView::boolean() const {
  if (node_->kind == Kind::kBool) return node_->boolean;
  if (node_->kind == Kind::kInt && !node_->big && (node_->integer == 0 || node_->integer == 1)) {
    return node_->integer == 1;
  }
  if (node_->kind == Kind::kFloat && (node_->number == 0 || node_->number == 1)) return node_->number == 1;
  if (node_->kind == Kind::kString) {
    const std::string word = lower(node_->text);
    for (const std::string_view yes : {"1", "t", "true", "y", "yes", "on"}) {
      if (word == yes) return true;
    }
    for (const std::string_view no : {"0", "f", "false", "n", "no", "off"}) {
      if (word == no) return false;
    }
  }
  wrong_type("True or False");
}

std::vector<YamlView> YamlView::list() const {
  if (node_->kind != Kind::kList) wrong_type("a list");
  std::vector<YamlView> out;
  out.reserve(node_->items.size());
  for (size_t i = 0; i < node_->items.size(); ++i) {
    out.emplace_back(node_->items[i], source_, fmt::format("{}[{}]", path_, i));
  }
  return out;
}

std::vector<std::string> YamlView::strings(size_t max_characters) const {
  if (node_->kind == Kind::kString) {
    fail(fmt::format("expected a list of strings, got {}", got(*node_)), "write it in brackets: [\"...\"]");
  }
  if (node_->kind != Kind::kList) wrong_type("a list of strings");
  std::vector<std::string> out;
  for (const YamlView& item : list()) out.push_back(item.string(max_characters));
  return out;
}

YamlMap::YamlMap(const YamlView& view) : view_(view) {
  if (!view.is_map()) view.wrong_type("a mapping");
}

std::string YamlMap::child_path(std::string_view key) const {
  return view_.path().empty() ? printable(key) : fmt::format("{}.{}", view_.path(), printable(key));
}

std::optional<YamlView> YamlMap::find(std::string_view key) {
  known_.emplace_back(key);
  for (const YamlNode& item : view_.node().items) {
    if (item.key != key) continue;
    return YamlView(item, view_.source(), child_path(key));
  }
  return {};
}

YamlView YamlMap::need(std::string_view key) {
  const std::optional<YamlView> value = find(key);
  if (value) return *value;
  std::vector<std::string> present;
  for (const YamlNode& item : view_.node().items) present.push_back(item.key);
  const std::string near = nearest(key, present);
  view_.fail(fmt::format("\"{}\" is missing", key),
             near.empty() ? "" : fmt::format("is \"{}\" meant to be it?", printable(near)));
}

std::vector<YamlView> YamlMap::unknown() const {
  std::vector<YamlView> out;
  for (const YamlNode& item : view_.node().items) {
    if (std::find(known_.begin(), known_.end(), item.key) != known_.end()) continue;
    out.emplace_back(item, view_.source(), child_path(item.key));
  }
  return out;
}

std::string YamlMap::describe_unknown(const YamlView& entry) const {
  const std::string& key = entry.node().key;
  return fmt::format("{}unknown key \"{}\"{}", view_.path().empty() ? "" : view_.path() + ": ",
                     printable(key), did_you_mean(key, known_));
}

void YamlMap::refuse_unknown() const {
  const std::vector<YamlView> entries = unknown();
  if (entries.empty()) return;
  std::string hint;
  if (known_.empty()) hint = "no key is known here";
  if (!known_.empty() && known_.size() < 16)
    hint = fmt::format("known keys here: {}", fmt::join(known_, ", "));
  yaml_error(view_.source(), entries[0].node().key_place, describe_unknown(entries[0]), hint);
}

}  // namespace wanslim
