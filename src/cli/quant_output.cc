// SPDX-License-Identifier: Apache-2.0
#include "cli/quant_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/spelling.h"
#include "config/match.h"
#include "config/protocol.h"
#include "config/recipe_yaml.h"
#include "formats/manifest.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxCopy = uint64_t{64} << 20;
constexpr int64_t kMostGigabytes = 1 << 20;

std::string place_of(const Recipe& recipe, const SaveStep& save) {
  if (save.place.line == 0) return recipe.source;
  return fmt::format("{}:{}:{}", recipe.source, save.place.line, save.place.column);
}

std::string format_of(const SaveStep& save) {
  for (const protocol::SaverRow& row : protocol::savers()) {
    if (row.name == save.type) return std::string(row.format);
  }
  return save.type;
}

const Format& choose_format(const Recipe& recipe, const std::string& name) {
  if (!name.empty()) return find_format(name);
  std::string chosen;
  for (const SaveStep& save : recipe.save) {
    const std::string wanted = format_of(save);
    if (!chosen.empty() && chosen != wanted) {
      throw Error({.what = "several savers of different kinds",
                   .where = place_of(recipe, save),
                   .hint = "choose one with --format"});
    }
    chosen = wanted;
  }
  return find_format(chosen.empty() ? "mindie" : chosen);
}

// The reference counts in 2^30 bytes.
uint64_t choose_shards(const QuantArgs& args, const Recipe& recipe, const Format& format) {
  int64_t size = args.part_file_size;
  std::string where = "--part_file_size";
  for (const SaveStep& save : recipe.save) {
    if (args.part_file_size >= 0 || save.part_file_size <= size) continue;
    size = save.part_file_size;
    where = place_of(recipe, save);
  }
  if (size > 0 && !format.shards) {
    throw Error(
        {.what = fmt::format("part_file_size is {} (4 where it is left out): {} loads one file and no shards",
                             size, format.name),
         .where = where,
         .hint = "set part_file_size: 0"});
  }
  if (size > kMostGigabytes) throw Error({.what = "part_file_size is too large", .where = where});
  return static_cast<uint64_t>(std::max<int64_t>(size, 0)) << 30;
}

std::pair<std::string, std::string> parse_option(const std::string& text, const Format& format) {
  const auto refuse = [&](std::string what, std::string hint) {
    return Error({.what = std::move(what),
                  .where = "--format_option",
                  .hint = std::move(hint),
                  .kind = Error::Kind::kUsage});
  };
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw refuse(fmt::format("\"{}\" is not name=value", printable(text)), "for example layout=blocks");
  const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  std::vector<std::string> names;
  for (const FormatOption& option : format.options) {
    names.emplace_back(option.name);
    if (option.name != name) continue;
    const std::vector<std::string> choices(option.choices.begin(), option.choices.end());
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return {name, value};
    throw refuse(
        fmt::format("\"{}\" is no value of {}{}", printable(value), name, did_you_mean(value, choices)),
        fmt::format("{}: {}", fmt::join(choices, ", "), option.help));
  }
  throw refuse(fmt::format("the format {} has no option \"{}\"{}", format.name, printable(name),
                           did_you_mean(name, names)),
               names.empty() ? "it has none at all" : fmt::format("it has {}", fmt::join(names, ", ")));
}

void leave_out(const std::vector<std::string>& patterns, Recipe& recipe) {
  if (patterns.empty()) return;
  for (ProcessStep& step : recipe.process) {
    for (const std::string& pattern : patterns) {
      if (std::find(step.exclude.begin(), step.exclude.end(), pattern) == step.exclude.end())
        step.exclude.push_back(pattern);
    }
  }
  recipe.text = recipe_yaml(recipe);
}

}  // namespace

std::map<std::string, std::string> parse_format_options(const std::vector<std::string>& texts,
                                                        const Format& format) {
  std::map<std::string, std::string> out;
  for (const std::string& text : texts) {
    auto [name, value] = parse_option(text, format);
    if (!out.emplace(name, value).second) {
      throw Error({.what = fmt::format("the option {} stands twice", name),
                   .where = "--format_option",
                   .kind = Error::Kind::kUsage});
    }
  }
  return out;
}

QuantOutput choose_output(const QuantArgs& args, const Recipe& recipe, const std::string& format) {
  QuantOutput out{.format = &choose_format(recipe, format)};
  out.options = parse_format_options(args.format_options, *out.format);
  out.shard_bytes = choose_shards(args, recipe, *out.format);
  return out;
}

void fit_practice(const Format& format, const std::vector<LayerPlan>& layers, Recipe& recipe,
                  Progress& progress) {
  if (format.keeps_float.empty()) return;
  // Patterns that match nothing would be warned of.
  std::vector<std::string> exclude;
  const auto matches_any = [&](std::string_view pattern) {
    const LayerPattern matching(pattern);
    return std::any_of(layers.begin(), layers.end(),
                       [&](const LayerPlan& layer) { return layer.linear && matching.matches(layer.name); });
  };
  for (const std::string_view pattern : format.keeps_float) {
    if (matches_any(pattern)) exclude.emplace_back(pattern);
  }
  if (!format.needs_all_linears) return leave_out(exclude, recipe);
  std::vector<std::string> widened;
  for (ProcessStep& step : recipe.process) {
    for (const std::string& pattern : step.exclude) {
      const bool still = std::find(exclude.begin(), exclude.end(), pattern) != exclude.end();
      if (!still && matches_any(pattern)) widened.push_back(pattern);
    }
    step.exclude = exclude;
  }
  recipe.text = recipe_yaml(recipe);
  if (widened.empty()) return;
  progress.info(fmt::format("{} runs all Linears of the blocks in one scheme: {} is quantized too",
                            format.name, fmt::join(widened, ", ")));
}

std::vector<Sidecar> extra_files(const QuantArgs& args, const Format& format, const Recipe& recipe) {
  std::vector<Sidecar> out;
  const auto wanted = [&](const std::string& name) {
    if (name.ends_with("index.json") || name.starts_with("quant_model_") || name.starts_with(".") ||
        name == kManifestName)
      return false;
    return std::any_of(format.copies.begin(), format.copies.end(),
                       [&](std::string_view ending) { return name.ends_with(ending); });
  };
  if (is_folder(args.model_path)) {
    for (const auto& entry : std::filesystem::directory_iterator(args.model_path)) {
      const std::string name = entry.path().filename().string();
      if (!wanted(name) || !entry.is_regular_file()) continue;
      out.push_back({.name = name, .text = read_text(entry.path(), kMaxCopy)});
    }
  }
  std::sort(out.begin(), out.end(), [](const Sidecar& a, const Sidecar& b) { return a.name < b.name; });
  out.push_back({.name = args.model_type + "_best_practice.yaml", .text = best_practice_yaml(recipe)});
  return out;
}

}  // namespace wanslim
