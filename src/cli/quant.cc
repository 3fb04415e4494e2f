// SPDX-License-Identifier: Apache-2.0
// quant: the one place that sees algorithms and formats at once.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "base/error.h"
#include "base/hash.h"
#include "base/threads.h"
#include "calib/walk.h"
#include "cli/commands.h"
#include "cli/lora_option.h"
#include "cli/quant_budget.h"
#include "cli/quant_output.h"
#include "cli/quant_plan.h"
#include "cli/quant_setup.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "formats/writer.h"
#include "quant/plan.h"

namespace wanslim {
namespace {

struct Prepared {
  QuantModel model;
  LoraSet loras = {};
  Recipe recipe;
  QuantOutput output = {};
  FormatJob job = {};
  std::vector<ProcessStep> steps = {};
  InputEnergies energies = {};
};

Prepared prepare(const QuantArgs& args, Progress& progress) {
  check_arguments(args);
  if (!args.format.empty()) find_format(args.format);
  Prepared p;
  p.recipe = choose_recipe(args, progress);
  p.output = choose_output(args, p.recipe);
  p.model = open_quant_model(args.model_path);
  check_part(*p.output.format, p.model.part);
  p.loras = open_loras(args.loras, p.model, progress);
  std::vector<LayerPlan> layers = p.model.layers;
  const Numerics numerics = args.numerics == "compat" ? Numerics::kCompat : Numerics::kPrecise;
  const WanGeometry& geometry = p.model.geometry;
  p.job = {.part = p.model.part,
           .geometry = geometry,
           .encoder = p.model.part == ModelPart::kTransformer ? "" : p.model.variant,
           .text_encoder = p.model.text_encoder,
           .layers = layers,
           .numerics = numerics,
           .slim = args.slim,
           .options = p.output.options,
           .shard_bytes = p.output.shard_bytes};
  if (p.model.part == ModelPart::kTextEncoder && p.output.format->carries_vocabulary)
    p.job.vocabulary = find_vocabulary(args, p.model);
  if (has_budget(args)) {
    p.recipe = budget_recipe(args, p.output, p.job, LoraSource(*p.model.weights, p.loras), progress);
  } else if (args.config_path.empty()) {
    fit_practice(*p.output.format, layers, p.recipe, progress);
  }
  p.steps = flat_steps(p.recipe);
  const int head_dim = geometry.heads > 0 ? static_cast<int>(geometry.dim / geometry.heads) : 0;
  QuantPlan plan = plan_layers(p.recipe, std::move(layers), numerics, head_dim);
  for (const std::string& warning : plan.warnings) progress.warn(warning);
  read_merged(p.loras, plan.layers);
  p.job.layers = std::move(plan.layers);
  check_supported(*p.output.format, p.job);
  p.energies = load_energies(p.steps, p.job.layers);
  return p;
}

Manifest describe(const QuantArgs& args, const Prepared& p, const FormatWriter& writer) {
  Manifest m;
  m.version = kVersion;
  m.format = p.output.format->name;
  m.numerics = args.numerics;
  m.recipe = p.recipe.config_id;
  m.recipe_hash = hash_hex(p.recipe.text);
  m.variant = p.model.variant;
  m.loras = fingerprints(p.loras);
  for (size_t i = 0; i < p.job.layers.size(); ++i) {
    if (writer.layer_bytes(i) == 0) continue;
    m.source_tensors += static_cast<int64_t>(p.job.layers[i].tensors().size());
    m.source_bytes += source_bytes(p.job.layers[i]);
    if (p.job.layers[i].rotated_outputs > 0)
      m.rotated_outputs[p.job.layers[i].name] = p.job.layers[i].rotated_outputs;
    if (p.job.layers[i].rotated_inputs > 0)
      m.rotated_inputs[p.job.layers[i].name] = p.job.layers[i].rotated_inputs;
  }
  return m;
}

void carry_out(const Prepared& p, FormatWriter& writer, Progress& progress) {
  const LoraSource source(*p.model.weights, p.loras);
  WalkJob walk{.layers = p.job.layers,
               .steps = p.steps,
               .numerics = p.job.numerics,
               .energies = &p.energies,
               .memory = walk_memory(p.job.layers)};
  walk.skip = [&](size_t i) { return writer.done(i) || writer.layer_bytes(i) == 0; };
  walk.float_dtype = [&](size_t i, size_t t) { return writer.tensors(i)[t].dtype; };
  walk.out_bytes = [&](size_t i) { return writer.layer_bytes(i) + merge_memory(p.loras, p.job.layers[i]); };
  walk.sink = [&](size_t i, LayerValue&& value, const SourceHashes& hashes) {
    writer.write(i, value, hashes);
  };
  walk.sink_rows = [&](size_t i, int64_t first, const Tensor& rows) { writer.write_rows(i, first, rows); };
  walk.sink_end = [&](size_t i, const SourceHashes& hashes) { writer.end_rows(i, hashes); };
  walk_layers(walk, source, progress);
  p.model.file->check_unchanged();
  p.loras.check_unchanged();
}

void report(const QuantArgs& args, const Prepared& p, const FormatWriter& writer, double seconds) {
  std::map<std::string, int> schemes;
  for (const LayerPlan& layer : p.job.layers) schemes[scheme_label(layer.scheme)] += layer.linear;
  if (args.json) {
    const Json out = {{"save_path", args.save_path},    {"format", p.output.format->name},
                      {"variant", p.model.variant},     {"layers", schemes},
                      {"bytes", writer.output_bytes()}, {"seconds", seconds}};
    std::printf("%s\n", out.dump(2).c_str());
    return;
  }
  std::string counts;
  for (const auto& [scheme, count] : schemes)
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, scheme);
  std::printf("%s: %s Linears; %s for %s in %.1f s\n", args.save_path.c_str(), counts.c_str(),
              human_bytes(static_cast<double>(writer.output_bytes())).c_str(),
              std::string(p.output.format->summary).c_str(), seconds);
}

int run_quant(const QuantArgs& args) {
  const auto begin = std::chrono::steady_clock::now();
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  const Prepared p = prepare(args, terminal);
  FormatWriter writer(*p.output.format, p.job);
  if (args.dry_run) {
    const PlanSummary summary = summarize(p.job, writer, p.model, p.loras);
    const std::string text =
        args.json ? plan_json(p.job, writer, summary).dump(2) + "\n" : plan_text(p.job, writer, summary);
    std::fputs(text.c_str(), stdout);
    return 0;
  }
  if (args.device != "cpu")
    terminal.info(fmt::format("device {}: no accelerator is used or needed, this runs on the host's {} cores",
                              args.device, threads()));
  const std::vector<Sidecar> extra = extra_files(args, *p.output.format, p.recipe);
  Json identity = job_identity(args, p.output, p.recipe, p.model, p.loras, p.job);
  if (!p.energies.empty()) identity["energies"] = hash_of(p.energies);
  OutputFolder folder =
      OutputFolder::open(args.save_path, identity, writer.final_names(extra), args.overwrite);
  try {
    writer.open(folder, terminal);
    if (!folder.committed()) carry_out(p, writer, terminal);
    writer.finish(describe(args, p, writer), extra);
  } catch (const Error& e) {
    // What will be wrong the next time too is not worth keeping.
    if (e.parts.kind == Error::Kind::kInput) folder.discard();
    throw;
  }
  report(args, p, writer, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return 0;
}

}  // namespace

std::function<int()> setup_quant(Options& options) {
  auto args = std::make_shared<QuantArgs>();
  options.text("--model_path", args->model_path, "folder or file of the float weights")
      .text("--save_path", args->save_path, "folder for the result")
      .text("--tokenizer", args->tokenizer,
            "for a GGUF of the text encoder: its tokenizer, else that of google/umt5-xxl beside the file")
      .text("--device", args->device,
            "npu, npu:0, cpu or auto: accepted for compatibility, the host's CPU does the work")
      .text("--model_type", args->model_type, "Wan2_1")
      .text("--config_path", args->config_path, "recipe (YAML); instead of --quant_type")
      .text("--quant_type", args->quant_type, "built-in practice: w8a8, ... (see `wanslim practices`)")
      .choice("--trust_remote_code", args->trust_remote_code, {"True", "False"},
              "accepted; no code of a checkpoint is ever run")
      .texts("--tag", args->tags, "scenario tags, accepted")
      .flag("--debug", args->debug, "accepted")
      .choice("--numerics", args->numerics, {"precise", "compat"},
              "precise: best codes; compat: msModelSlim's bytes")
      .text("--format", args->format,
            "what the result is for: " + format_names() + " (default: what the recipe's saver says)")
      .text("--type", args->type, "with --format gguf: Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, Q3_K or Q2_K")
      .text("--target_size", args->target_size,
            "size of the weight files such as 6GB: chooses the scheme of each layer for the least error")
      .number("--target_bits", args->target_bits,
              "the same by bits a weight of the blocks' Linears, scales and biases included")
      .texts(
          "--candidates", args->candidates,
          "quant types to choose among (default: all of the format with float activations, or with those of "
          "--quant_type)")
      .texts("--format_option", args->format_options, "name=value, a choice that the format leaves open")
      .integer("--part_file_size", args->part_file_size,
               "split the weights into files of so many GiB where the format allows it; 0: one file")
      .texts("--lora", args->loras, kLoraHelp)
      .flag("--slim", args->slim, "leave out float tensors that the runtime never reads")
      .flag("--dry_run", args->dry_run, "show the plan and stop")
      .flag("--yes", args->yes, "answer questions with yes")
      .flag("--overwrite", args->overwrite, "replace what is in the folder")
      .integer("--threads", args->threads, "threads, 0: all cores")
      .flag("--json", args->json, "result or plan as JSON on standard output");
  return [args] { return run_quant(*args); };
}

}  // namespace wanslim
