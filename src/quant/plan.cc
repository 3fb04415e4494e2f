// SPDX-License-Identifier: Apache-2.0
#include "quant/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "config/match.h"
#include "quant/methods.h"
#include "quant/preparation.h"

namespace wanslim {
namespace {

std::string at(const Recipe& recipe, const Place& place) {
  if (place.line == 0) return recipe.source;
  return fmt::format("{}:{}:{}", recipe.source, place.line, place.column);
}

void flatten(const std::vector<ProcessStep>& steps, std::vector<ProcessStep>& out) {
  for (const ProcessStep& step : steps) {
    if (step.type == "group") {
      flatten(step.steps, out);
    } else {
      out.push_back(step);
    }
  }
}

bool quantizes(const ProcessStep& step) {
  return step.type == "linear_quant";
}

// Only what runs without activation data is run by this version.
void check_step(const Recipe& recipe, const ProcessStep& step, Numerics numerics) {
  const std::string where = at(recipe, step.place);
  if (is_preparation(step)) {
    std::string why;
    if (supports_preparation(step, numerics, &why)) return;
    throw Error({.what = why, .where = where, .hint = "use --numerics precise"});
  }
  if (!quantizes(step)) {
    throw Error({.what = fmt::format("the processor \"{}\" cannot be run by this version", step.type),
                 .where = where,
                 .hint = "remove it from the recipe; linear_quant is what runs here"});
  }
  if (step.activation.granularity == Granularity::kTensor && step.activation.encoding != Encoding::kFloat) {
    throw Error(
        {.what =
             "static activation scales (scope per_tensor) need calibration, which this version cannot run",
         .where = at(recipe, step.activation.place),
         .hint = "use scope per_token: the runtime then scales every token by itself"});
  }
  try {
    check_sides(step.activation, step.weight, numerics);
  } catch (Error& e) {
    e.parts.where = at(recipe, step.weight.place);
    throw Error(e.parts);
  }
}

std::string pattern_list(const std::vector<std::string>& patterns) {
  return fmt::format("[{}]", fmt::join(patterns, ", "));
}

// Takes the layer if the step selects it; says why either way.
bool take(const ProcessStep& step, size_t index, LayerSelection& selection, LayerPlan& layer) {
  if (!selection.selects(layer.name)) return false;
  layer.scheme = scheme_of(step.activation, step.weight);
  layer.step = static_cast<int>(index);
  layer.reason = fmt::format("process[{}] includes it", index);
  std::string why;
  if (!fits_shape(layer.scheme, layer.shape[0], layer.shape[1], &why)) {
    throw Error({.what = why, .where = layer.name, .hint = "exclude this layer in the recipe"});
  }
  return true;
}

// The first linear_quant step that selects the layer takes it; steps that prepare it follow that.
void plan_layer(const std::vector<ProcessStep>& steps, std::vector<LayerSelection>& selections,
                LayerPlan& layer) {
  layer.reason = steps.empty() ? "the recipe has no linear_quant"
                               : "no include pattern, or an exclude pattern, matches it";
  for (size_t i = 0; i < steps.size() && !layer.quantized(); ++i) {
    if (quantizes(steps[i])) take(steps[i], i, selections[i], layer);
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!is_preparation(steps[i]) || !selections[i].selects(layer.name) || !layer.quantized()) continue;
    prepare_layer(steps[i], i, layer);
  }
}

}  // namespace

std::vector<ProcessStep> flat_steps(const Recipe& recipe) {
  std::vector<ProcessStep> out;
  flatten(recipe.process, out);
  return out;
}

QuantPlan plan_layers(const Recipe& recipe, std::vector<LayerPlan> layers, Numerics numerics, int head) {
  if (!recipe.prior.empty()) {
    throw Error({.what = "spec.prior (steps before the main ones) cannot be run by this version",
                 .where = at(recipe, recipe.prior[0].place),
                 .hint = "move its processors to spec.process"});
  }
  const std::vector<ProcessStep> steps = flat_steps(recipe);
  std::vector<LayerSelection> selections;
  for (const ProcessStep& step : steps) {
    check_step(recipe, step, numerics);
    selections.emplace_back(step.include, step.exclude);
  }
  size_t taken = 0;
  for (LayerPlan& layer : layers) {
    if (!layer.linear) {
      layer.reason = "not a Linear";
    } else if (layer.block < 0) {
      layer.reason = "outside the blocks";
    } else {
      plan_layer(steps, selections, layer);
      taken += layer.quantized();
    }
  }
  if (taken == 0) {
    throw Error({.what = "the recipe selects no Linear of the blocks, there is nothing to quantize",
                 .where = recipe.source,
                 .hint = "patterns are held against whole names such as blocks.0.self_attn.q: \"*ffn.2\", "
                         "not \"ffn.2\""});
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].type == "rotate_vo") rotate_attentions(selections[i], head, layers);
  }
  QuantPlan plan{.layers = std::move(layers), .warnings = {}};
  for (const LayerSelection& selection : selections) {
    if (auto lost = selection.unmatched_include(); !lost.empty()) {
      plan.warnings.push_back(
          "these include patterns are not matched any module, please ensure this is as expected: " +
          pattern_list(lost));
    }
    if (auto lost = selection.unmatched_exclude(); !lost.empty()) {
      plan.warnings.push_back("these exclude patterns match no module: " + pattern_list(lost));
    }
  }
  return plan;
}

}  // namespace wanslim
