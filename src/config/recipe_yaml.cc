// SPDX-License-Identifier: Apache-2.0
#include "config/recipe_yaml.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/spelling.h"
#include "config/protocol.h"
#include "config/recipe_process.h"
#include "config/recipe_value.h"
#include "config/wan_tasks.h"
#include "config/yaml_dump.h"
#include "config/yaml_read.h"

namespace wanslim {
namespace {

constexpr size_t kNameCharacters = 200;

void warn(const YamlView& at, std::string_view what, Recipe& recipe) {
  recipe.warnings.push_back(
      fmt::format("{}:{}:{}: {}", at.source(), at.place().line, at.place().column, what));
}

void warn_unknown(const YamlMap& map, Recipe& recipe) {
  for (const YamlView& entry : map.unknown()) {
    const Place place = entry.node().key_place;
    recipe.warnings.push_back(fmt::format("{}:{}:{}: {}; it has no effect", entry.source(), place.line,
                                          place.column, map.describe_unknown(entry)));
  }
}

void parse_api_version(YamlMap& top, Recipe& recipe) {
  const YamlView view = top.need("apiversion");
  const std::vector<std::string> known = protocol::names(protocol::api_versions());
  recipe.apiversion = view.choice("apiversion", known);
  const std::string_view refused = protocol::find_row(protocol::api_versions(), recipe.apiversion)->refused;
  if (!refused.empty()) {
    view.fail(fmt::format("recipes of apiversion {} are not read here: {}", recipe.apiversion, refused),
              fmt::format("for Wan write apiversion: {}", known[0]));
  }
}

void parse_tags(const YamlView& view, Recipe& recipe) {
  const YamlMap tags(view);
  for (const YamlView& entry : tags.unknown()) {  // every key is a model type
    std::vector<std::vector<std::string>> scenarios;
    for (const YamlView& scenario : entry.list()) scenarios.push_back(scenario.strings(kNameCharacters));
    recipe.verified_tags.emplace_back(entry.node().key, std::move(scenarios));
  }
}

void parse_metadata(const YamlView& view, Recipe& recipe) {
  YamlMap map(view);
  if (const auto id = map.find("config_id")) recipe.config_id = id->string(kNameCharacters);
  if (const auto score = map.find("score")) {
    recipe.score = score->number();
    if (recipe.score < 0) score->wrong_type("a number that is not negative");
  }
  if (const auto label = map.find("label")) {
    const YamlMap entries(*label);
    for (const YamlView& entry : entries.unknown()) {
      recipe.label.emplace_back(entry.node().key, yaml_flow(entry.node()));
    }
  }
  if (const auto types = map.find("verified_model_types"))
    recipe.verified_model_types = types->strings(kNameCharacters);
  if (const auto tags = map.find("verified_tags")) parse_tags(*tags, recipe);
  warn_unknown(map, recipe);
}

std::vector<PriorStage> parse_prior(const YamlView& view, Recipe& recipe) {
  std::vector<PriorStage> out;
  for (const YamlView& item : view.list()) {
    PriorStage stage{.place = item.place()};
    YamlMap map(item);
    if (const auto process = map.find("process")) stage.process = parse_process(*process);
    const auto dataset = map.find("dataset");
    if (dataset && !dataset->is_null()) stage.dataset = dataset->string();
    warn_unknown(map, recipe);
    out.push_back(std::move(stage));
  }
  return out;
}

void parse_dump(const YamlView& view, Recipe& recipe) {
  YamlMap map(view);
  DumpConfig dump;
  if (const auto enable = map.find("enable_dump")) dump.enable_dump = enable->boolean();
  const std::vector<std::string> modes = {"args"};
  if (const auto mode = map.find("capture_mode")) dump.capture_mode = mode->choice("capture_mode", modes);
  if (const auto dir = map.find("dump_data_dir")) dump.dump_data_dir = dir->string();
  recipe.dump = std::move(dump);
  warn_unknown(map, recipe);
}

// The task must exist, the size be one that it makes; without a task, one that any task makes.
void check_task(YamlMap& map) {
  std::vector<std::string> names, sizes;
  for (const WanTask& task : wan_tasks()) names.emplace_back(task.name);
  const std::optional<YamlView> task = map.find("task"), size = map.find("size");
  const std::string chosen = task && !task->is_null() ? task->choice("task", names) : "";
  for (const WanTask& row : wan_tasks()) {
    if (!chosen.empty() && row.name != chosen) continue;
    for (const VideoSize& s : row.sizes) sizes.push_back(to_string(s));
  }
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  if (size && !size->is_null()) size->choice(chosen.empty() ? "size" : "size for task " + chosen, sizes);
}

void parse_inference(const YamlView& view, Recipe& recipe) {
  YamlMap map(view);
  for (const protocol::InferenceRow& row : protocol::inference_keys()) map.allow(row.name);
  map.refuse_unknown();
  check_task(map);
  for (const YamlNode& item : view.node().items) {
    const YamlView value(item, view.source(), fmt::format("{}.{}", view.path(), item.key));
    if (value.is_null()) continue;
    const protocol::InferenceRow& row = *protocol::find_row(protocol::inference_keys(), item.key);
    const YamlNode node = checked_value(value, {row.type, row.low, row.high, row.words});
    if (row.name == "prompt" && node.text.find_first_not_of(" \t\r\n") == std::string::npos) {
      value.fail("the prompt is blank", "describe the video that calibration should generate");
    }
    recipe.inference.emplace_back(item.key,
                                  node.kind == YamlNode::Kind::kString ? node.text : yaml_flow(node));
  }
}

void parse_multimodal(const YamlView& view, Recipe& recipe) {
  YamlMap map(view);
  parse_dump(map.need("dump_config"), recipe);
  const auto inference = map.find("inference_config"), legacy = map.find("model_config");
  const bool has_inference = inference && !inference->is_null();
  if (has_inference && legacy) {
    legacy->fail("\"inference_config\" and \"model_config\" exclude each other", "keep inference_config");
  }
  if (!has_inference && !legacy) {
    view.fail("\"inference_config\" is missing",
              "give at least the prompt of the calibration: inference_config: {prompt: ...}");
  }
  recipe.legacy_model_config = !has_inference;
  if (recipe.legacy_model_config)
    warn(*legacy, "multimodal_sd_config.model_config will be deprecated.", recipe);
  parse_inference(has_inference ? *inference : *legacy, recipe);
  if (recipe.inference.empty()) (has_inference ? *inference : *legacy).fail("the mapping has no value");
  warn_unknown(map, recipe);
}

void parse_spec(const YamlView& view, Recipe& recipe) {
  if (!view.is_map())
    view.fail(fmt::format("task spec must be a mapping, got {}", kind_name(view.node().kind)));
  YamlMap map(view);
  const std::vector<std::string> runners = {"auto", "model_wise", "layer_wise", "dp_layer_wise"};
  if (const auto runner = map.find("runner")) {
    recipe.runner = runner->choice("runner", runners);
    if (recipe.runner != "layer_wise") {
      warn(*runner, "runner for multimodal_sd_v1 is not layer_wise, will be converted to layer_wise.",
           recipe);
      recipe.runner = "layer_wise";
    }
  }
  if (const auto prior = map.find("prior")) recipe.prior = parse_prior(*prior, recipe);
  if (const auto process = map.find("process")) recipe.process = parse_process(*process);
  if (const auto save = map.find("save")) recipe.save = parse_save(*save);
  if (const auto dataset = map.find("dataset")) recipe.dataset = dataset->string();
  parse_multimodal(map.need("multimodal_sd_config"), recipe);
  warn_unknown(map, recipe);
}

// Any other top-level key may hold anchors; one that looks like a slip of a known key gets a warning.
void warn_near_misses(const YamlMap& top, Recipe& recipe) {
  const std::vector<std::string> known = {"apiversion", "metadata", "spec"};
  for (const YamlView& entry : top.unknown()) {
    if (nearest(entry.node().key, known).empty()) continue;
    const Place place = entry.node().key_place;
    recipe.warnings.push_back(fmt::format("{}:{}:{}: {}; it has no effect", entry.source(), place.line,
                                          place.column, top.describe_unknown(entry)));
  }
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Recipe load_recipe(const std::string& path) {
  constexpr off_t kMaxBytes = off_t{1} << 20;
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat info {};
  if (file.fd < 0 || ::fstat(file.fd, &info) != 0) throw system_error("open", path, errno);
  if (!S_ISREG(info.st_mode)) {
    throw Error({.what = "not a regular file", .where = path, .hint = "give the YAML file of a recipe"});
  }
  if (info.st_size > kMaxBytes) {
    throw Error({.what = fmt::format("the file has {} bytes, at most {} are read", info.st_size, kMaxBytes),
                 .where = path,
                 .hint = "a recipe is a few KiB of YAML; is this the right file?"});
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error("read", path, errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return parse_recipe(text, path);
}

Recipe parse_recipe(std::string_view text, std::string_view source) {
  Recipe recipe;
  recipe.source = source;
  recipe.text = text;
  const YamlNode root = parse_yaml(text, source);
  const YamlView view(root, source, "");
  if (view.is_null()) view.fail("the recipe is empty", "a recipe has apiversion and spec");
  YamlMap top(view);
  parse_api_version(top, recipe);
  if (const auto metadata = top.find("metadata")) parse_metadata(*metadata, recipe);
  parse_spec(top.need("spec"), recipe);
  warn_near_misses(top, recipe);
  return recipe;
}

}  // namespace wanslim
