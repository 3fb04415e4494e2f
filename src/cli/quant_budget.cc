// SPDX-License-Identifier: Apache-2.0
#include "cli/quant_budget.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "calib/walk.h"
#include "cli/budget_recipe.h"
#include "cli/quant_plan.h"
#include "cli/terminal.h"
#include "config/practices.h"
#include "config/recipe_yaml.h"
#include "eval/weight_error.h"
#include "formats/writer.h"
#include "models/names.h"
#include "quant/budget.h"
#include "quant/float_tensor.h"
#include "quant/methods.h"
#include "quant/plan.h"

namespace wanslim {
namespace {

// A practice, and what it makes of every layer.
struct Candidate {
  std::string name;
  std::vector<ProcessStep> steps;
  FormatJob job;
  std::vector<uint64_t> bytes;  // beside the layers
  uint64_t output_bytes = 0;
};

// What one layer can become. step: null for float.
struct Choice {
  const ProcessStep* step = nullptr;
  std::string label;
  uint64_t bytes = 0;
};

struct Layer {
  size_t index = 0;  // into the model's layers
  std::vector<Choice> choices;
  std::vector<BudgetChoice> measured;
};

bool same_sides(const ProcessStep& a, const ProcessStep& b) {
  const auto same = [](SideConfig x, SideConfig y) {
    x.place = y.place = {};
    return x == y;
  };
  return same(a.activation, b.activation) && same(a.weight, b.weight);
}

FormatJob job_of(const FormatJob& whole, std::vector<LayerPlan> layers, bool slim) {
  FormatJob job = whole;
  job.layers = std::move(layers);
  job.slim = slim;
  return job;
}

class Chooser {
 public:
  Chooser(const QuantArgs& args, const QuantOutput& output, const FormatJob& whole,
          const WeightSource& weights, Progress& progress)
      : args_(args), output_(output), whole_(whole), weights_(weights), progress_(progress) {}

  Recipe run() {
    collect();
    list_choices();
    measure();
    uint64_t budget = first_budget();
    for (;;) {
      const auto plan = solve(budget);
      Recipe recipe = recipe_of(plan);
      const uint64_t written = written_bytes(recipe);
      const uint64_t target =
          args_.target_size.empty() ? 0 : parse_byte_size(args_.target_size, "--target_size");
      if (target == 0 || written <= target) {
        tell(plan, written);
        return recipe;
      }
      budget -= std::min(budget, written - target);  // headers and padding differ from plan to plan
    }
  }

 private:
  // Named ones must fit; without names every practice whose activations are those of --quant_type, or float.
  void collect() {
    if (!args_.candidates.empty()) {
      for (const std::string& name : args_.candidates) add(choose_practice(name));
    } else {
      const std::string wanted =
          args_.quant_type.empty() ? "float" : last_step(choose_practice(args_.quant_type)).activation.dtype;
      for (const Practice& practice : practices()) {
        const ProcessStep last = last_step(practice);
        if (last.activation.dtype != wanted || second_group(last)) continue;
        try {
          add(practice);
        } catch (const Error&) {  // not for this format or these shapes
        }
      }
    }
    if (candidates_.empty()) {
      throw usage_error(fmt::format("the format {} has no scheme to choose from{}", output_.format->name,
                                    args_.quant_type.empty() ? " with float activations" : ""),
                        "--candidates", "name some: --candidates w8a8,nvfp4");
    }
    // With --slim too: what is left out of the file is in the memory of the runtime all the same.
    floats_ = bytes_of(job_of(whole_, layers_, false));
  }

  static ProcessStep last_step(const Practice& practice) {
    return flat_steps(parse_recipe(practice.yaml, practice.name)).back();
  }

  // One size of groups a file, the first of the table.
  bool second_group(const ProcessStep& step) const {
    return step.weight.granularity == Granularity::kGroup &&
           std::any_of(candidates_.begin(), candidates_.end(), [](const Candidate& c) {
             return c.steps.back().weight.granularity == Granularity::kGroup;
           });
  }

  void add(const Practice& practice) {
    Candidate c;
    c.name = practice.quant_types.front();
    const Recipe recipe = parse_recipe(practice.yaml, "built-in practice " + practice.name);
    c.steps = flat_steps(recipe);
    QuantPlan plan = plan_layers(recipe, layers_, whole_.numerics);
    c.job = job_of(whole_, std::move(plan.layers), args_.slim);
    for (const LayerPlan& layer : c.job.layers) {
      if (layer.hadamard_group > 0 || layer.low_rank > 0)
        throw usage_error("a budget chooses among plain schemes", "--candidates",
                          practice.name + " prepares its layers");
    }
    check_supported(*output_.format, c.job);
    c.bytes = bytes_of(c.job);
    c.output_bytes = FormatWriter(*output_.format, c.job).output_bytes();
    candidates_.push_back(std::move(c));
  }

  std::vector<uint64_t> bytes_of(const FormatJob& job) const {
    const FormatWriter writer(*output_.format, job);
    std::vector<uint64_t> out;
    for (size_t i = 0; i < job.layers.size(); ++i) out.push_back(writer.layer_bytes(i));
    return out;
  }

  void list_choices() {
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (!layers_[i].linear || layers_[i].block < 0) continue;
      Layer layer{.index = i, .choices = {}, .measured = {}};
      for (const Candidate& c : candidates_) {
        const LayerPlan& plan = c.job.layers[i];
        if (!plan.quantized()) continue;
        const ProcessStep& step = c.steps[static_cast<size_t>(plan.step)];
        const bool known = std::any_of(layer.choices.begin(), layer.choices.end(),
                                       [&](const Choice& other) { return same_sides(*other.step, step); });
        if (!known) layer.choices.push_back({&step, scheme_label(plan.scheme), c.bytes[i]});
      }
      layer.choices.push_back({nullptr, "FLOAT", floats_[i]});
      found_.push_back(std::move(layer));
    }
  }

  // An error counts relative to the energy of its layer's weights, and as much as the layer has weights: that
  // of the layer's output for inputs of any size, which no scaling between neighbouring layers changes.
  void measure() {
    uint64_t total = 0;
    for (const Layer& layer : found_) total += source_bytes(layers_[layer.index]) * layer.choices.size();
    progress_.start("measuring", total);
    for (Layer& layer : found_) {
      const LayerPlan& plan = layers_[layer.index];
      const Tensor weight = weights_.load(plan.name + ".weight");
      for (const Choice& choice : layer.choices) {
        throw_if_interrupted();
        LayerError error;
        if (choice.step) {
          LinearWeight linear{.name = plan.name, .weight = weight.clone()};
          error = weight_error(quantize_linear(std::move(linear), choice.step->activation,
                                               choice.step->weight, whole_.numerics),
                               weight);
        } else {
          error = float_error(weight, plan.name);
        }
        const double relative = error.signal > 0 ? error.noise / error.signal : 0;
        layer.measured.push_back({relative * static_cast<double>(weight.count()), choice.bytes});
        progress_.advance(source_bytes(plan), plan.name);
      }
    }
    progress_.finish();
  }

  // Formats hold floats in bf16.
  static LayerError float_error(const Tensor& weight, const std::string& name) {
    const Tensor exact = float_tensor(weight, DType::kF32, name);
    const Tensor stored = float_tensor(float_tensor(weight, DType::kBF16, name), DType::kF32, name);
    const std::span<const float> values = exact.as<float>(), rounded = stored.as<float>();
    LayerError error;
    for (size_t i = 0; i < values.size(); ++i) {
      const double value = values[i], difference = value - static_cast<double>(rounded[i]);
      error.signal += value * value;
      error.noise += difference * difference;
    }
    return error;
  }

  uint64_t first_budget() const {
    if (args_.target_size.empty()) return static_cast<uint64_t>(*args_.target_bits * weights() / 8);
    uint64_t chosen = 0, fixed = 0;
    const Candidate& c = candidates_[0];
    for (const Layer& layer : found_) chosen += c.bytes[layer.index];
    fixed = c.output_bytes - chosen;
    const uint64_t target = parse_byte_size(args_.target_size, "--target_size");
    if (target > fixed) return target - fixed;
    throw usage_error(
        fmt::format("what is not chosen takes {} already", human_bytes(static_cast<double>(fixed))),
        "--target_size");
  }

  double weights() const {
    double sum = 0;
    for (const Layer& layer : found_) sum += static_cast<double>(element_count(layers_[layer.index].shape));
    return sum;
  }

  BudgetPlan solve(uint64_t budget) const {
    std::vector<std::vector<BudgetChoice>> items;
    uint64_t smallest = 0;
    for (const Layer& layer : found_) {
      items.push_back(layer.measured);
      smallest +=
          std::min_element(layer.measured.begin(), layer.measured.end(), [](const auto& a, const auto& b) {
            return a.bytes < b.bytes;
          })->bytes;
    }
    if (auto plan = solve_budget(items, budget)) return *plan;
    std::vector<std::string> names;
    for (const Candidate& c : candidates_) names.push_back(c.name);
    throw usage_error(
        fmt::format("the smallest of {} takes {} in the blocks ({:.2f} bits a weight), more than the {} that "
                    "are left",
                    fmt::join(names, ", "), human_bytes(static_cast<double>(smallest)),
                    8 * static_cast<double>(smallest) / weights(), human_bytes(static_cast<double>(budget))),
        args_.target_size.empty() ? "--target_bits" : "--target_size",
        "allow more, or name smaller schemes by --candidates");
  }

  Recipe recipe_of(const BudgetPlan& plan) const {
    std::vector<ProcessStep> steps;
    std::vector<std::set<std::string>> names;
    for (size_t i = 0; i < found_.size(); ++i) {
      const ProcessStep* step = found_[i].choices[plan.chosen[i]].step;
      if (!step) continue;
      size_t at = 0;
      while (at < steps.size() && !same_sides(steps[at], *step)) ++at;
      if (at == steps.size()) {
        steps.push_back(*step);
        names.emplace_back();
      }
      names[at].insert(layers_[found_[i].index].name);
    }
    if (steps.empty())
      throw usage_error("the float model is within the target, there is nothing to quantize",
                        args_.target_size.empty() ? "--target_bits" : "--target_size");
    for (size_t k = 0; k < steps.size(); ++k) {
      steps[k].include = layer_patterns(names[k], layers_);
      steps[k].exclude.clear();
    }
    return recipe_of_steps(std::move(steps), output_);
  }

  uint64_t written_bytes(const Recipe& recipe) const {
    QuantPlan plan = plan_layers(recipe, layers_, whole_.numerics);
    const FormatJob job = job_of(whole_, std::move(plan.layers), args_.slim);
    return FormatWriter(*output_.format, job).output_bytes();
  }

  void tell(const BudgetPlan& plan, uint64_t written) const {
    std::vector<std::string> kinds;
    std::map<std::string, std::map<std::string, int>> counts;
    for (size_t i = 0; i < found_.size(); ++i) {
      const std::string kind = layer_kind(layers_[found_[i].index].name);
      if (!counts.count(kind)) kinds.push_back(kind);
      ++counts[kind][found_[i].choices[plan.chosen[i]].label];
    }
    for (const std::string& kind : kinds) {
      std::string line;
      for (const auto& [label, count] : counts[kind])
        line += fmt::format("{}{} {}", line.empty() ? "" : ", ", count, label);
      progress_.info(fmt::format("  {:<28} {}", kind, line));
    }
    progress_.info(fmt::format(
        "budget: {} in the file, {:.3f} bits a weight in the blocks; error {:.6g} of the weights' energy "
        "({:.2f} dB); no "
        "choice within it is below {:.6g} (gap {:.3f} %)",
        human_bytes(static_cast<double>(written)), 8 * static_cast<double>(plan.bytes) / weights(),
        plan.error / weights(), -10 * std::log10(plan.error / weights()), plan.bound / weights(),
        plan.bound > 0 ? 100 * (plan.error / plan.bound - 1) : 0.0));
  }

  const QuantArgs& args_;
  const QuantOutput& output_;
  const FormatJob& whole_;  // its layers are float
  const WeightSource& weights_;
  Progress& progress_;
  const std::vector<LayerPlan>& layers_ = whole_.layers;
  std::vector<Candidate> candidates_;
  std::vector<uint64_t> floats_;
  std::vector<Layer> found_;
};

}  // namespace

bool has_budget(const QuantArgs& args) {
  return !args.target_size.empty() || args.target_bits || !args.candidates.empty();
}

void check_budget(const QuantArgs& args) {
  if (!has_budget(args)) return;
  if (args.target_size.empty() && !args.target_bits)
    throw usage_error("--candidates are for --target_size and --target_bits", "--candidates");
  if (!args.target_size.empty() && args.target_bits)
    throw usage_error("only one of --target_size and --target_bits can be given", "quant");
  if (!args.config_path.empty() || !args.type.empty())
    throw usage_error(
        "a target chooses the schemes: it goes with --quant_type or --candidates, not with a recipe or "
        "--type",
        "quant");
  if (args.formats.size() > 1) throw usage_error("a target is for one format", "--format");
  if (args.formats.empty() && args.quant_type.empty())
    throw usage_error("a target needs --format", "quant", "for example --format gguf --target_bits 5.2");
  if (args.target_bits && !(*args.target_bits >= 1 && *args.target_bits <= 32))
    throw usage_error(fmt::format("{} bits a weight", *args.target_bits), "--target_bits", "1 to 32");
  if (!args.target_size.empty()) parse_byte_size(args.target_size, "--target_size");
}

Recipe budget_recipe(const QuantArgs& args, const QuantOutput& output, const FormatJob& whole,
                     const WeightSource& weights, Progress& progress) {
  if (output.format->needs_all_linears) {
    throw usage_error(
        fmt::format("{} runs all Linears of the blocks in one scheme: there is nothing to choose",
                    output.format->name),
        "--format");
  }
  return Chooser(args, output, whole, weights, progress).run();
}

}  // namespace wanslim
