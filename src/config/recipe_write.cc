// SPDX-License-Identifier: Apache-2.0
// The writing half of recipe_yaml.h.
#include <limits>

#include "config/method_options.h"
#include "config/protocol.h"
#include "config/recipe_yaml.h"
#include "config/yaml_dump.h"
#include "config/yaml_read.h"

namespace wanslim {
namespace {

using protocol::PatternShape;
using protocol::ProcessorRow;
using protocol::QConfigShape;

YamlNode strings_node(const std::vector<std::string>& values) {
  YamlNode out = yaml_list();
  for (const std::string& value : values) out.items.push_back(yaml_string(value));
  return out;
}

// Values that the structs keep as YAML on one line.
YamlNode stored(const std::string& text) {
  return parse_yaml(text, "recipe");
}

YamlNode pairs_node(const std::vector<std::pair<std::string, std::string>>& pairs) {
  YamlNode out = yaml_map();
  for (const auto& [key, text] : pairs) yaml_put(out, key, stored(text));
  return out;
}

YamlNode side_node(const SideConfig& side) {
  YamlNode out = yaml_map();
  yaml_put(out, "scope", yaml_string(side.scope));
  yaml_put(out, "dtype", yaml_string(side.dtype));
  yaml_put(out, "symmetric", yaml_boolean(side.symmetric));
  yaml_put(out, "method", yaml_string(side.method));
  if (side.options.given.empty()) return out;
  YamlNode& ext = yaml_put(out, "ext", yaml_map());
  for (const std::string& name : side.options.given) yaml_put(ext, name, get_option(name, side.options));
  return out;
}

YamlNode pair_node(const ProcessStep& step) {
  YamlNode out = yaml_map();
  yaml_put(out, "act", side_node(step.activation));
  yaml_put(out, "weight", side_node(step.weight));
  return out;
}

void put_patterns(const ProcessStep& step, PatternShape shape, YamlNode& out) {
  if (shape == PatternShape::kNone) return;
  yaml_put(out, "include", strings_node(step.include));
  yaml_put(out, "exclude", strings_node(step.exclude));
}

YamlNode strategies_node(const std::vector<ProcessStep>& strategies) {
  YamlNode out = yaml_list();
  for (const ProcessStep& strategy : strategies) {
    YamlNode& item = out.items.emplace_back(yaml_map());
    yaml_put(item, "qconfig", pair_node(strategy));
    put_patterns(strategy, PatternShape::kAll, item);
  }
  return out;
}

YamlNode process_node(const std::vector<ProcessStep>& steps);

void put_qconfig(const ProcessStep& step, QConfigShape shape, YamlNode& out) {
  switch (shape) {
    case QConfigShape::kNone:
      return;
    case QConfigShape::kPair:
      yaml_put(out, "qconfig", pair_node(step));
      return;
    case QConfigShape::kSide:
      yaml_put(out, "qconfig", side_node(step.activation));
      return;
    case QConfigShape::kWeight:
      yaml_put(out, "weight_qconfig", side_node(step.weight));
      return;
    case QConfigShape::kStrategies:
      yaml_put(out, "strategies", strategies_node(step.steps));
      return;
    case QConfigShape::kGroup:
      yaml_put(out, "configs", process_node(step.steps));
      return;
    case QConfigShape::kAttention:
      break;
  }
  if (step.details.empty()) {
    yaml_put(out, "qconfig", side_node(step.activation));
    return;
  }
  YamlNode& details = yaml_put(out, "details", yaml_map());
  for (const auto& [name, side] : step.details) yaml_put(details, name, side_node(side));
}

YamlNode process_node(const std::vector<ProcessStep>& steps) {
  YamlNode out = yaml_list();
  for (const ProcessStep& step : steps) {
    const ProcessorRow* row = protocol::find_row(protocol::processors(), step.type);
    YamlNode& item = out.items.emplace_back(yaml_map());
    yaml_put(item, "type", yaml_string(step.type));
    if (step.type == "svd_res") yaml_put(item, "rank", yaml_integer(step.rank));
    if (step.type == "convrot") yaml_put(item, "group_size", yaml_integer(step.group_size));
    for (const auto& [name, text] : step.other) yaml_put(item, name, stored(text));
    if (!row) continue;
    put_qconfig(step, row->qconfig, item);
    put_patterns(step, row->patterns, item);
  }
  return out;
}

YamlNode tags_node(const Recipe& recipe) {
  YamlNode out = yaml_map();
  for (const auto& [model, scenarios] : recipe.verified_tags) {
    YamlNode& list = yaml_put(out, model, yaml_list());
    for (const std::vector<std::string>& scenario : scenarios) list.items.push_back(strings_node(scenario));
  }
  return out;
}

YamlNode metadata_node(const Recipe& recipe) {
  YamlNode out = yaml_map();
  yaml_put(out, "config_id", yaml_string(recipe.config_id));
  yaml_put(out, "score", yaml_real(recipe.score));
  yaml_put(out, "label", pairs_node(recipe.label));
  yaml_put(out, "verified_model_types", strings_node(recipe.verified_model_types));
  yaml_put(out, "verified_tags", tags_node(recipe));
  return out;
}

YamlNode inference_node(const Recipe& recipe) {
  YamlNode out = yaml_map();
  for (const auto& [key, value] : recipe.inference) {
    const protocol::InferenceRow* row = protocol::find_row(protocol::inference_keys(), key);
    const bool is_text =
        !row || row->type == protocol::ValueType::kString || row->type == protocol::ValueType::kWord;
    yaml_put(out, key, is_text ? yaml_string(value) : stored(value));
  }
  return out;
}

YamlNode spec_node(const Recipe& recipe) {
  YamlNode out = yaml_map();
  yaml_put(out, "runner", yaml_string(recipe.runner));
  if (!recipe.prior.empty()) {
    YamlNode& prior = yaml_put(out, "prior", yaml_list());
    for (const PriorStage& stage : recipe.prior) {
      YamlNode& item = prior.items.emplace_back(yaml_map());
      yaml_put(item, "process", process_node(stage.process));
      if (!stage.dataset.empty()) yaml_put(item, "dataset", yaml_string(stage.dataset));
    }
  }
  yaml_put(out, "process", process_node(recipe.process));
  YamlNode& save = yaml_put(out, "save", yaml_list());
  for (const SaveStep& step : recipe.save) {
    YamlNode& item = save.items.emplace_back(yaml_map());
    yaml_put(item, "type", yaml_string(step.type));
    yaml_put(item, "part_file_size", yaml_integer(step.part_file_size));
  }
  yaml_put(out, "dataset", yaml_string(recipe.dataset));
  YamlNode& multimodal = yaml_put(out, "multimodal_sd_config", yaml_map());
  const DumpConfig dump = recipe.dump.value_or(DumpConfig{});
  YamlNode& dump_config = yaml_put(multimodal, "dump_config", yaml_map());
  yaml_put(dump_config, "enable_dump", yaml_boolean(dump.enable_dump));
  yaml_put(dump_config, "capture_mode", yaml_string(dump.capture_mode));
  yaml_put(dump_config, "dump_data_dir", yaml_string(dump.dump_data_dir));
  yaml_put(multimodal, recipe.legacy_model_config ? "model_config" : "inference_config",
           inference_node(recipe));
  return out;
}

// pydantic writes dates as strings.
void dates_to_strings(YamlNode& node) {
  if (node.kind == YamlNode::Kind::kDate) node.kind = YamlNode::Kind::kString;
  for (YamlNode& item : node.items) dates_to_strings(item);
}

}  // namespace

std::string recipe_yaml(const Recipe& recipe) {
  YamlNode root = yaml_map();
  yaml_put(root, "apiversion", yaml_string(recipe.apiversion));
  yaml_put(root, "metadata", metadata_node(recipe));
  yaml_put(root, "spec", spec_node(recipe));
  return yaml_dump(root, std::numeric_limits<int>::max());  // libfyaml cannot read every folded text
}

std::string best_practice_yaml(const Recipe& recipe) {
  YamlNode given = parse_yaml(recipe.text, recipe.source);
  dates_to_strings(given);
  YamlMap top(YamlView(given, recipe.source, ""));
  YamlNode root = yaml_map();
  yaml_put(root, "apiversion", yaml_string(recipe.apiversion));
  yaml_put(root, "spec", top.need("spec").node());
  top.allow("apiversion");
  YamlNode& metadata = yaml_put(root, "metadata", metadata_node(recipe));
  if (const auto stood = top.find("metadata")) {
    YamlMap entries(*stood);
    // As it stood, where the struct keeps a text.
    if (const auto label = entries.find("label")) metadata.items[2].items = label->node().items;
  }
  for (const YamlView& extra : top.unknown()) root.items.push_back(extra.node());
  return yaml_dump(root);
}

}  // namespace wanslim
