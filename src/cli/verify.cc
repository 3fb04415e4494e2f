// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/lora_option.h"
#include "cli/quant_plan.h"
#include "cli/terminal.h"
#include "eval/weight_error.h"
#include "formats/format.h"
#include "formats/loader_checks.h"
#include "formats/manifest.h"
#include "models/quant_model.h"
#include "quant/head_rotation.h"

namespace wanslim {
namespace {

struct VerifyArgs {
  std::string dir, against;
  std::vector<std::string> loras;
  bool json = false, layers = false;
  int64_t threads = 0;
};

Path folder_of(const Path& path) {
  return is_folder(path) ? path : path.parent_path() / ".";
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

// SQNR over the layers of one kind: "blocks.*.ffn.0".
std::map<std::string, LayerError> by_kind(const WeightErrors& errors) {
  std::map<std::string, LayerError> out;
  for (const LayerError& e : errors.layers) {
    LayerError& sum = out[layer_kind(e.layer)];
    sum.signal += e.signal;
    sum.noise += e.noise;
    sum.sqnr_db = 10 * std::log10(sum.signal / sum.noise);
  }
  return out;
}

const LayerError& worst_of(const WeightErrors& errors) {
  return *std::min_element(errors.layers.begin(), errors.layers.end(),
                           [](const LayerError& a, const LayerError& b) { return a.sqnr_db < b.sqnr_db; });
}

WeightErrors compare(const VerifyArgs& args, const Format& format, VerifyReport& report, Progress& progress) {
  const QuantModel checkpoint = open_quant_model(args.against);
  const LoraSet loras = open_loras(args.loras, checkpoint, progress);
  const LoraSource merged(*checkpoint.weights, loras);
  check_same_loras(loras, folder_of(args.dir), report);
  const Manifest manifest = read_manifest(folder_of(args.dir)).value_or(Manifest{});
  const RotatedSource model(merged, manifest.rotated_outputs, manifest.rotated_inputs);
  const std::unique_ptr<WeightSource> result = format.read(args.dir);
  std::vector<std::string> linears, tensors;
  for (const LayerPlan& layer : checkpoint.layers) {
    if (layer.linear) linears.push_back(layer.name);
    for (std::string& name : layer.tensors()) tensors.push_back(std::move(name));
  }
  WeightErrors errors = compare_weights(*result, model, linears, tensors, progress);
  for (const std::string& name : errors.float_differs)
    report.problems.push_back(name + " is not the float model's tensor");
  for (const LayerError& e : errors.layers) {
    if (!(e.sqnr_db > 0))
      report.problems.push_back(fmt::format(
          "{} has nothing in common with the float model's weight ({:.1f} dB)", e.layer, e.sqnr_db));
  }
  if (errors.layers.empty())
    report.problems.push_back("no quantized layer of the float model is in the folder");
  report.checked.push_back(fmt::format("{} quantized layers and the float tensors against {}",
                                       errors.layers.size(), args.against));
  return errors;
}

Json to_json(const VerifyReport& report, const Format& format, const WeightErrors* errors) {
  Json out = {{"ok", report.ok()},
              {"format", format.name},
              {"problems", report.problems},
              {"checked", report.checked}};
  if (!errors || errors->layers.empty()) return out;
  out["sqnr_db"] = number(errors->total_sqnr_db);
  out["worst"] = {{"layer", worst_of(*errors).layer}, {"sqnr_db", number(worst_of(*errors).sqnr_db)}};
  out["kinds"] = Json::object();
  for (const auto& [kind, e] : by_kind(*errors)) out["kinds"][kind] = number(e.sqnr_db);
  out["layers"] = Json::object();
  for (const LayerError& e : errors->layers) out["layers"][e.layer] = number(e.sqnr_db);
  return out;
}

void print(const VerifyArgs& args, const VerifyReport& report, const Format& format,
           const WeightErrors* errors) {
  fmt::print("{}: {} ({})\n", args.dir, format.name, format.summary);
  for (const std::string& line : report.checked) fmt::print("  checked: {}\n", line);
  if (errors && !errors->layers.empty()) {
    fmt::print("  weight SQNR, dB:\n");
    for (const auto& [kind, e] : by_kind(*errors)) fmt::print("    {:<36} {:6.2f}\n", kind, e.sqnr_db);
    if (args.layers) {
      for (const LayerError& e : errors->layers) fmt::print("    {:<36} {:6.2f}\n", e.layer, e.sqnr_db);
    }
    fmt::print("    all {:.2f}, worst {:.2f} ({})\n", errors->total_sqnr_db, worst_of(*errors).sqnr_db,
               worst_of(*errors).layer);
  }
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, report.problems.size()); ++i)
    fmt::print("  PROBLEM: {}\n", report.problems[i]);
  if (report.problems.size() > kShown)
    fmt::print("  ... and {} more problems\n", report.problems.size() - kShown);
  fmt::print("{}\n", report.ok() ? "OK" : "NOT OK");
}

int run_verify(const VerifyArgs& args) {
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  const Format& format = recognize_format(args.dir);
  VerifyReport report = format.verify(args.dir);
  check_manifest(folder_of(args.dir), report, terminal);
  std::optional<WeightErrors> errors;
  if (args.against.empty() && !args.loras.empty())
    throw usage_error("is merged into the model to compare with", "--lora", "add --against MODEL");
  if (!args.against.empty()) errors = compare(args, format, report, terminal);
  const WeightErrors* shown = errors ? &*errors : nullptr;
  if (args.json) {
    std::printf("%s\n", to_json(report, format, shown).dump(2).c_str());
  } else {
    print(args, report, format, shown);
  }
  return report.ok() ? 0 : 1;
}

}  // namespace

std::function<int()> setup_verify(Options& options) {
  auto args = std::make_shared<VerifyArgs>();
  options.text("DIR", args->dir, "folder that wanslim quant has written", true)
      .text("--against", args->against, "the float model: adds weight SQNR per kind of layer")
      .texts("--lora", args->loras, kLoraHelp)
      .flag("--layers", args->layers, "SQNR of every single layer")
      .integer("--threads", args->threads, "threads, 0: all cores")
      .flag("--json", args->json, "report as JSON");
  return [args] { return run_verify(*args); };
}

}  // namespace wanslim
