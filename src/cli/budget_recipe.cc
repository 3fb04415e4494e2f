// SPDX-License-Identifier: Apache-2.0
#include "cli/budget_recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "config/practices.h"
#include "config/protocol.h"
#include "config/recipe_yaml.h"
#include "models/names.h"

namespace wanslim {
namespace {

constexpr size_t kLongestPattern = 180;  // the protocol takes 200

// "7", "{0..4}" for each run of indices.
std::vector<std::string> runs_of(const std::vector<int64_t>& indices) {
  std::vector<std::string> out;
  for (size_t i = 0; i < indices.size();) {
    size_t end = i + 1;
    while (end < indices.size() && indices[end] == indices[end - 1] + 1) ++end;
    if (end - i < 3) end = i + 1;
    out.push_back(end - i == 1 ? std::to_string(indices[i])
                               : fmt::format("{{{}..{}}}", indices[i], indices[end - 1]));
    i = end;
  }
  return out;
}

// list.{..}.rest, as many patterns as their length needs.
void append_patterns(const BlockPath& kind, const std::vector<int64_t>& indices,
                     std::vector<std::string>& out) {
  std::vector<std::string> part;
  const auto flush = [&] {
    if (part.empty()) return;
    out.push_back(part.size() == 1 ? fmt::format("{}.{}.{}", kind.list, part[0], kind.rest)
                                   : fmt::format("{}.{{{}}}.{}", kind.list, fmt::join(part, ","), kind.rest));
    part.clear();
  };
  size_t length = kind.list.size() + kind.rest.size();
  for (std::string& run : runs_of(indices)) {
    if (length + run.size() + 1 > kLongestPattern) {
      flush();
      length = kind.list.size() + kind.rest.size();
    }
    length += run.size() + 1;
    part.push_back(std::move(run));
  }
  flush();
}

}  // namespace

std::vector<std::string> layer_patterns(const std::set<std::string>& names,
                                        const std::vector<LayerPlan>& layers) {
  struct Kind {
    BlockPath path;
    size_t all = 0;
    std::vector<int64_t> indices = {};
  };
  std::vector<Kind> kinds;
  std::map<std::pair<std::string_view, std::string_view>, size_t> by_path;
  std::vector<std::string> out;
  for (const LayerPlan& layer : layers) {
    if (!layer.linear) continue;
    const auto path = parse_block_path(layer.name);
    if (!path) {
      if (names.count(layer.name)) out.push_back(layer.name);
      continue;
    }
    const auto [at, fresh] = by_path.emplace(std::pair(path->list, path->rest), kinds.size());
    if (fresh) kinds.push_back({.path = *path});
    Kind& kind = kinds[at->second];
    ++kind.all;
    if (names.count(layer.name)) kind.indices.push_back(path->index);
  }
  for (Kind& kind : kinds) {
    if (kind.indices.empty()) continue;
    std::sort(kind.indices.begin(), kind.indices.end());
    if (kind.indices.size() == kind.all) {
      out.push_back(fmt::format("{}.*.{}", kind.path.list, kind.path.rest));
    } else {
      append_patterns(kind.path, kind.indices, out);
    }
  }
  return out;
}

Recipe recipe_of_steps(std::vector<ProcessStep> steps, const QuantOutput& output) {
  Recipe recipe = parse_recipe(practices()[0].yaml, "");
  recipe.config_id = "wan2_1_budget";
  recipe.label.clear();
  recipe.legacy_model_config = false;
  recipe.dump = DumpConfig{.enable_dump = false};
  recipe.process = std::move(steps);
  recipe.save.clear();
  for (const protocol::SaverRow& row : protocol::savers()) {
    if (row.format != output.format->name) continue;
    recipe.save.push_back(
        {.type = std::string(row.name), .part_file_size = static_cast<int64_t>(output.shard_bytes >> 30)});
    break;
  }
  const std::string source = "the plan of the budget";
  return parse_recipe(best_practice_yaml(parse_recipe(recipe_yaml(recipe), source)), source);
}

}  // namespace wanslim
