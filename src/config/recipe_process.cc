// SPDX-License-Identifier: Apache-2.0
#include "config/recipe_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "config/method_options.h"
#include "config/protocol.h"
#include "config/recipe_value.h"
#include "config/yaml_dump.h"

namespace wanslim {
namespace {

using protocol::PatternShape;
using protocol::ProcessorRow;
using protocol::QConfigShape;

enum class Side : uint8_t { kActivation, kWeight, kAttention };

constexpr size_t kPatternCharacters = 200;

bool has_word(std::string_view words, std::string_view word) {
  const std::vector<std::string> list = protocol::split_words(words);
  return std::find(list.begin(), list.end(), word) != list.end();
}

// The reference also takes a list of axes; the last one is the only one that any format can hold.
YamlView one_axis(const YamlView& value) {
  return value.is_list() && value.node().items.size() == 1 ? value.list()[0] : value;
}

MethodOptions parse_options(const YamlView& view, const SideConfig& side) {
  MethodOptions out;
  YamlMap map(view);
  for (const protocol::OptionRow& row : protocol::options()) {
    const bool group = row.name == "group_size" && side.granularity == Granularity::kGroup;
    const bool own = group || has_word(row.methods, side.method);
    if (!own) continue;
    const std::optional<YamlView> value = map.find(row.name);
    if (!value) continue;
    const ValueRule rule{row.type, row.low, row.high, row.words};
    set_option(row.name, checked_value(row.name == "axes" ? one_axis(*value) : *value, rule), out);
    out.given.emplace_back(row.name);
  }
  for (const YamlView& entry : map.unknown()) {
    const std::string& key = entry.node().key;
    const protocol::OptionRow* other = protocol::find_row(protocol::options(), key);
    if (!other) continue;
    yaml_error(view.source(), entry.node().key_place,
               fmt::format("{}: \"{}\" is no option of method \"{}\" with scope \"{}\"", view.path(), key,
                           side.method, side.scope),
               key == "group_size"
                   ? "it belongs to scope per_group and to method gptq"
                   : fmt::format("it belongs to {}", fmt::join(protocol::split_words(other->methods), ", ")));
  }
  map.refuse_unknown();
  if (out.enable_search && out.search_max <= out.search_min) {
    view.fail(
        fmt::format("search_max ({}) must be greater than search_min ({})", out.search_max, out.search_min));
  }
  return out;
}

std::vector<std::string> method_names(Side side) {
  std::vector<std::string> out;
  for (const protocol::MethodRow& row : protocol::methods()) {
    if (side == Side::kWeight ? row.for_weight : row.for_activation) out.emplace_back(row.name);
  }
  return out;
}

SideConfig parse_side(const YamlView& view, Side side) {
  YamlMap map(view);
  SideConfig out;
  out.place = view.place();
  // All four in one message: a qconfig with one forgotten key is the commonest mistake.
  std::vector<std::string_view> missing;
  for (const std::string_view key : {"dtype", "scope", "symmetric", "method"}) {
    if (!map.find(key)) missing.push_back(key);
  }
  map.allow("ext");
  if (!missing.empty()) {
    map.refuse_unknown();
    view.fail(fmt::format("{} {} missing", fmt::join(missing, ", "), missing.size() == 1 ? "is" : "are"),
              "a qconfig needs dtype, scope, symmetric and method");
  }
  out.dtype = map.need("dtype").choice("dtype", protocol::names(protocol::dtypes()));
  out.encoding = protocol::find_row(protocol::dtypes(), out.dtype)->encoding;
  out.scope = map.need("scope").choice("scope", protocol::names(protocol::scopes()));
  out.granularity = protocol::find_row(protocol::scopes(), out.scope)->granularity;
  out.symmetric = map.need("symmetric").boolean();
  const std::vector<std::string> known = method_names(side);
  out.method =
      map.need("method").choice(side == Side::kWeight ? "weight method" : "activation method", known);
  if (const std::optional<YamlView> ext = map.find("ext")) out.options = parse_options(*ext, out);
  map.refuse_unknown();
  return out;
}

void parse_pair(const YamlView& view, ProcessStep& step) {
  YamlMap map(view);
  if (const std::optional<YamlView> act = map.find("act"))
    step.activation = parse_side(*act, Side::kActivation);
  map.allow("weight");
  map.refuse_unknown();
  step.weight = parse_side(map.need("weight"), Side::kWeight);
}

void parse_attention(YamlMap& map, ProcessStep& step) {
  const std::optional<YamlView> qconfig = map.find("qconfig"), details = map.find("details");
  const bool has_details = details && !details->is_null() && !details->node().items.empty();
  if (qconfig && !qconfig->is_null()) {
    if (has_details) details->fail("\"qconfig\" and \"details\" exclude each other", "keep one of the two");
    step.activation = parse_side(*qconfig, Side::kAttention);
    return;
  }
  if (!has_details) {  // the reference's default
    step.activation = SideConfig{.encoding = Encoding::kInt8,
                                 .granularity = Granularity::kHead,
                                 .dtype = "int8",
                                 .scope = "per_head",
                                 .method = "minmax",
                                 .place = map.view().place()};
    return;
  }
  YamlMap branches(*details);
  for (const std::string_view name : {"fa_q", "fa_k", "fa_v"}) {
    const std::optional<YamlView> side = branches.find(name);
    if (side) step.details.emplace_back(name, parse_side(*side, Side::kAttention));
  }
  branches.refuse_unknown();
}

void parse_patterns(YamlMap& map, PatternShape shape, ProcessStep& step) {
  if (shape == PatternShape::kNone) {
    step.include = {};
    return;
  }
  const bool optional = shape == PatternShape::kOptional;
  if (shape == PatternShape::kEmpty) step.include = {};
  const std::optional<YamlView> include = map.find("include"), exclude = map.find("exclude");
  if (include && !(optional && include->is_null())) step.include = include->strings(kPatternCharacters);
  if (exclude && !(optional && exclude->is_null())) step.exclude = exclude->strings(kPatternCharacters);
}

std::vector<ProcessStep> parse_strategies(const YamlView& view) {
  std::vector<ProcessStep> out;
  for (const YamlView& item : view.list()) {
    ProcessStep strategy{.type = "strategy", .place = item.place()};
    YamlMap map(item);
    map.allow("qconfig");
    parse_patterns(map, PatternShape::kAll, strategy);
    map.refuse_unknown();
    parse_pair(map.need("qconfig"), strategy);
    for (const SideConfig* side : {&strategy.activation, &strategy.weight}) {
      if (side->granularity == Granularity::kGroup && side->options.given.empty()) {
        item.fail("scope per_group needs ext.group_size in a strategy");
      }
    }
    out.push_back(std::move(strategy));
  }
  if (out.empty()) view.fail("at least one strategy is needed");
  return out;
}

void parse_qconfig(YamlMap& map, QConfigShape shape, ProcessStep& step) {
  switch (shape) {
    case QConfigShape::kNone:
      return;
    case QConfigShape::kPair:
      return parse_pair(map.need("qconfig"), step);
    case QConfigShape::kSide:
      step.activation = parse_side(map.need("qconfig"), Side::kAttention);
      return;
    case QConfigShape::kWeight:
      step.weight = parse_side(map.need("weight_qconfig"), Side::kWeight);
      return;
    case QConfigShape::kAttention:
      return parse_attention(map, step);
    case QConfigShape::kStrategies:
      step.steps = parse_strategies(map.need("strategies"));
      return;
    case QConfigShape::kGroup:
      step.steps = parse_process(map.need("configs"));
      return;
  }
}

// The keys of each shape, so that an unknown key is reported before a missing one: it is usually that key.
void allow_keys(YamlMap& map, QConfigShape shape) {
  switch (shape) {
    case QConfigShape::kNone:
      return;
    case QConfigShape::kPair:
    case QConfigShape::kSide:
      return map.allow("qconfig");
    case QConfigShape::kWeight:
      return map.allow("weight_qconfig");
    case QConfigShape::kAttention:
      map.allow("details");
      return map.allow("qconfig");
    case QConfigShape::kStrategies:
      return map.allow("strategies");
    case QConfigShape::kGroup:
      return map.allow("configs");
  }
}

void parse_fields(YamlMap& map, ProcessStep& step) {
  int stage = 0;
  if (step.type == "adapt_rotation") {
    stage = static_cast<int>(map.need("stage").integer(1, 2));
    step.other.emplace_back("stage", std::to_string(stage));
  }
  for (const protocol::FieldRow& row : protocol::fields()) {
    if (row.processor != step.type || (row.stage != 0 && row.stage != stage)) continue;
    const std::optional<YamlView> value = map.find(row.name);
    if (!value) continue;
    const YamlNode node = checked_value(*value, {row.type, row.low, row.high, row.words});
    if (row.name == "rank") {
      step.rank = static_cast<int>(node.integer);
    } else if (row.type == protocol::ValueType::kPower4) {
      step.group_size = static_cast<int>(node.integer);
    } else {
      step.other.emplace_back(row.name, yaml_flow(node));
    }
  }
}

ProcessStep parse_step(const YamlView& view) {
  if (!view.is_map()) {
    view.fail(fmt::format("expected a mapping with \"type\", got {}", kind_name(view.node().kind)),
              "look at the indentation: the item may be nested under another field");
  }
  YamlMap map(view);
  const YamlView type = map.need("type");
  const std::string name = type.string();
  for (const std::string_view internal : {"load", "saver", "module_func", "unary_analysis", "binary_analysis",
                                          "binary_operator_layer_wise", "binary_operator_model_wise"}) {
    if (name == internal)
      type.fail(fmt::format("processor \"{}\" is internal to msModelSlim", name), "remove it");
  }
  ProcessStep step{.type = type.choice("processor", protocol::names(protocol::processors())),
                   .place = view.place()};
  const ProcessorRow& row = *protocol::find_row(protocol::processors(), name);
  parse_patterns(map, row.patterns, step);
  parse_fields(map, step);
  allow_keys(map, row.qconfig);
  map.refuse_unknown();
  parse_qconfig(map, row.qconfig, step);
  return step;
}

}  // namespace

std::vector<ProcessStep> parse_process(const YamlView& list) {
  std::vector<ProcessStep> out;
  for (const YamlView& item : list.list()) out.push_back(parse_step(item));
  return out;
}

std::vector<SaveStep> parse_save(const YamlView& list) {
  std::vector<SaveStep> out;
  for (const YamlView& item : list.list()) {
    YamlMap map(item);
    SaveStep step{.place = item.place()};
    step.type = map.need("type").choice("saver", protocol::names(protocol::savers()));
    if (const auto size = map.find("part_file_size")) step.part_file_size = size->integer(0, 1 << 20);
    map.allow("save_directory");  // the reference overwrites it with the output folder
    if (const auto ext = map.find("ext")) YamlMap(*ext).refuse_unknown();
    map.refuse_unknown();
    out.push_back(std::move(step));
  }
  return out;
}

}  // namespace wanslim
