// SPDX-License-Identifier: Apache-2.0
// quant: the one place that sees algorithms and formats at once.
#include <fmt/format.h>

#include <algorithm>
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
#include "quant/float_tensor.h"
#include "quant/plan.h"

namespace wanslim {
namespace {

// One of the formats that are written in the same pass.
struct Target {
  QuantOutput output;
  Path path;
  FormatJob job = {};
  std::unique_ptr<FormatWriter> writer = nullptr;
  std::vector<Sidecar> extra = {};
  std::unique_ptr<OutputFolder> folder = nullptr;  // null: an earlier run finished this one
};

struct Prepared {
  QuantModel model;
  LoraSet loras = {};
  Recipe recipe;
  std::vector<Target> targets = {};
  std::vector<ProcessStep> steps = {};
  InputEnergies energies = {};
};

// One format stands in save_path, several in a folder of their own each.
std::vector<Target> choose_targets(const QuantArgs& args, const Recipe& recipe) {
  std::vector<Target> out;
  for (const std::string& name : args.formats) {
    for (const Target& other : out) {
      if (other.output.format->name != name) continue;
      throw usage_error(fmt::format("the format {} stands twice", name), "--format");
    }
    out.push_back({.output = choose_output(args, recipe, name), .path = Path(args.save_path) / name});
  }
  if (out.empty()) out.push_back({.output = choose_output(args, recipe, ""), .path = args.save_path});
  if (out.size() == 1) out[0].path = args.save_path;
  return out;
}

// The job of a target with all layers in float.
FormatJob float_job(const QuantArgs& args, const QuantModel& model, const QuantOutput& output,
                    Numerics numerics) {
  FormatJob job{.part = model.part,
                .geometry = model.geometry,
                .encoder = model.part == ModelPart::kTransformer ? "" : model.variant,
                .text_encoder = model.text_encoder,
                .layers = model.layers,
                .numerics = numerics,
                .slim = args.slim,
                .options = output.options,
                .shard_bytes = output.shard_bytes};
  if (model.part == ModelPart::kTextEncoder && output.format->carries_vocabulary)
    job.vocabulary = find_vocabulary(args, model);
  return job;
}

// A budget makes the recipe; a built-in practice is fitted to the formats.
void choose_schemes(const QuantArgs& args, Prepared& p, Progress& progress) {
  if (has_budget(args)) {
    const Target& t = p.targets.front();
    p.recipe = budget_recipe(args, t.output, t.job, LoraSource(*p.model.weights, p.loras), progress);
  } else if (args.config_path.empty()) {
    for (const Target& t : p.targets) fit_practice(*t.output.format, p.model.layers, p.recipe, progress);
  }
  p.steps = flat_steps(p.recipe);
}

Prepared prepare(const QuantArgs& args, Progress& progress) {
  check_arguments(args);
  for (const std::string& name : args.formats) find_format(name);
  Prepared p;
  p.recipe = choose_recipe(args, progress);
  p.targets = choose_targets(args, p.recipe);
  p.model = open_quant_model(args.model_path);
  for (const Target& t : p.targets) check_part(*t.output.format, p.model.part);
  p.loras = open_loras(args.loras, p.model, progress);
  const Numerics numerics = args.numerics == "compat" ? Numerics::kCompat : Numerics::kPrecise;
  for (Target& t : p.targets) t.job = float_job(args, p.model, t.output, numerics);
  choose_schemes(args, p, progress);
  const WanGeometry& geometry = p.model.geometry;
  const int head_dim = geometry.heads > 0 ? static_cast<int>(geometry.dim / geometry.heads) : 0;
  QuantPlan plan = plan_layers(p.recipe, p.model.layers, numerics, head_dim);
  for (const std::string& warning : plan.warnings) progress.warn(warning);
  read_merged(p.loras, plan.layers);
  for (Target& t : p.targets) {
    t.job.layers = plan.layers;
    check_supported(*t.output.format, t.job);
  }
  p.energies = load_energies(p.steps, plan.layers);
  for (Target& t : p.targets) {
    t.writer = std::make_unique<FormatWriter>(*t.output.format, t.job);
    t.extra = extra_files(args, *t.output.format, p.recipe);
  }
  return p;
}

Manifest describe(const QuantArgs& args, const Prepared& p, const Target& t) {
  Manifest m;
  m.version = kVersion;
  m.format = t.output.format->name;
  m.numerics = args.numerics;
  m.recipe = p.recipe.config_id;
  m.recipe_hash = hash_hex(p.recipe.text);
  m.variant = p.model.variant;
  m.loras = fingerprints(p.loras);
  for (size_t i = 0; i < t.job.layers.size(); ++i) {
    const LayerPlan& layer = t.job.layers[i];
    if (t.writer->layer_bytes(i) == 0) continue;
    m.source_tensors += static_cast<int64_t>(layer.tensors().size());
    m.source_bytes += source_bytes(layer);
    if (layer.rotated_outputs > 0) m.rotated_outputs[layer.name] = layer.rotated_outputs;
    if (layer.rotated_inputs > 0) m.rotated_inputs[layer.name] = layer.rotated_inputs;
  }
  return m;
}

// Of several folders one may be finished and the others not, if a run was killed between them: then it is
// left alone. The manifest must be that of this command.
bool was_finished(const QuantArgs& args, const Prepared& p, const Target& t) {
  const auto unfinished = [](const Target& other) {
    return path_exists(other.path / ".wanslim" / "journal");
  };
  if (args.overwrite || unfinished(t) || std::none_of(p.targets.begin(), p.targets.end(), unfinished))
    return false;
  const std::optional<Manifest> there = read_manifest(t.path);
  const Manifest mine = describe(args, p, t);
  return there && there->version == mine.version && there->format == mine.format &&
         there->numerics == mine.numerics && there->recipe_hash == mine.recipe_hash &&
         there->variant == mine.variant && there->source_bytes == mine.source_bytes &&
         there->loras == mine.loras;
}

Json identity_of(const QuantArgs& args, const Prepared& p, const Target& t) {
  Json identity = job_identity(args, t.output, p.recipe, p.model, p.loras, t.job);
  if (!p.energies.empty()) identity["energies"] = hash_of(p.energies);
  return identity;
}

void open_folders(const QuantArgs& args, Prepared& p, Progress& progress) {
  std::vector<char> finished;
  for (const Target& t : p.targets) finished.push_back(was_finished(args, p, t));
  for (size_t i = 0; i < p.targets.size(); ++i) {
    Target& t = p.targets[i];
    if (finished[i]) {
      progress.info(fmt::format("{} is finished already", t.path.string()));
      continue;
    }
    t.folder = std::make_unique<OutputFolder>(
        OutputFolder::open(t.path, identity_of(args, p, t), t.writer->final_names(t.extra), args.overwrite));
  }
}

// Whether the layer must still be read for this format.
bool wants(const Target& t, size_t layer) {
  return t.folder && !t.folder->committed() && !t.writer->done(layer) && t.writer->layer_bytes(layer) > 0;
}

void write_layer(const Target& t, size_t layer, const LayerValue& value, const SourceHashes& source) {
  const auto wanted = t.writer->tensors(layer);
  bool fits = true;
  for (size_t i = 0; i < value.values.size(); ++i) fits = fits && value.values[i].dtype() == wanted[i].dtype;
  if (fits) return t.writer->write(layer, value, source);  // quantized, or the dtype of the only format
  const std::vector<std::string> names = t.job.layers[layer].tensors();
  LayerValue rounded;
  for (size_t i = 0; i < names.size(); ++i)
    rounded.values.push_back(float_tensor(value.values[i], wanted[i].dtype, names[i]));
  t.writer->write(layer, rounded, source);
}

void write_rows(const Target& t, size_t layer, int64_t first, const Tensor& rows) {
  const DType wanted = t.writer->tensors(layer)[0].dtype;
  if (rows.dtype() == wanted) return t.writer->write_rows(layer, first, rows);
  t.writer->write_rows(layer, first, float_tensor(rows, wanted, t.job.layers[layer].name, first));
}

void carry_out(const Prepared& p, Progress& progress) {
  const LoraSource source(*p.model.weights, p.loras);
  const std::vector<Target>& targets = p.targets;
  const std::vector<LayerPlan>& layers = targets[0].job.layers;
  WalkJob walk{.layers = layers,
               .steps = p.steps,
               .numerics = targets[0].job.numerics,
               .energies = &p.energies,
               .memory = walk_memory(layers)};
  const auto each = [&](size_t i, auto&& action) {
    for (const Target& t : targets) {
      if (wants(t, i)) action(t);
    }
  };
  walk.skip = [&](size_t i) {
    return std::none_of(targets.begin(), targets.end(), [&](const Target& t) { return wants(t, i); });
  };
  // One format gets its own dtype, several get floats that all of theirs are roundings of.
  walk.float_dtype = [&](size_t i, size_t t) {
    return targets.size() == 1 ? targets[0].writer->tensors(i)[t].dtype : DType::kF32;
  };
  walk.out_bytes = [&](size_t i) {
    uint64_t sum = merge_memory(p.loras, layers[i]);
    for (const Target& t : targets) sum += t.writer->layer_bytes(i);
    return sum;
  };
  walk.sink = [&](size_t i, LayerValue&& value, const SourceHashes& hashes) {
    each(i, [&](const Target& t) { write_layer(t, i, value, hashes); });
  };
  walk.sink_rows = [&](size_t i, int64_t first, const Tensor& rows) {
    each(i, [&](const Target& t) { write_rows(t, i, first, rows); });
  };
  walk.sink_end = [&](size_t i, const SourceHashes& hashes) {
    each(i, [&](const Target& t) { t.writer->end_rows(i, hashes); });
  };
  walk_layers(walk, source, progress);
  p.model.file->check_unchanged();
  p.loras.check_unchanged();
}

void report(const QuantArgs& args, const Prepared& p, double seconds) {
  Json all = Json::array();
  for (const Target& t : p.targets) {
    std::map<std::string, int> schemes;
    for (const LayerPlan& layer : t.job.layers) schemes[scheme_label(layer.scheme)] += layer.linear;
    if (args.json) {
      all.push_back({{"save_path", t.path.string()},
                     {"format", t.output.format->name},
                     {"variant", p.model.variant},
                     {"layers", schemes},
                     {"bytes", t.writer->output_bytes()},
                     {"seconds", seconds}});
      continue;
    }
    std::string counts;
    for (const auto& [scheme, count] : schemes)
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, scheme);
    std::printf("%s: %s Linears; %s for %s in %.1f s\n", t.path.c_str(), counts.c_str(),
                human_bytes(static_cast<double>(t.writer->output_bytes())).c_str(),
                std::string(t.output.format->summary).c_str(), seconds);
  }
  if (args.json) std::printf("%s\n", (all.size() == 1 ? all[0] : all).dump(2).c_str());
}

void show_plans(const QuantArgs& args, const Prepared& p) {
  Json all = Json::array();
  for (const Target& t : p.targets) {
    const PlanSummary summary = summarize(t.job, *t.writer, p.model, p.loras);
    if (args.json) {
      all.push_back(plan_json(t.job, *t.writer, summary));
    } else {
      std::fputs(plan_text(t.job, *t.writer, summary).c_str(), stdout);
    }
  }
  if (args.json) std::printf("%s\n", (all.size() == 1 ? all[0] : all).dump(2).c_str());
}

void discard(const Prepared& p) {
  for (const Target& t : p.targets) {
    if (t.folder) t.folder->discard();
  }
}

int run_quant(const QuantArgs& args) {
  const auto begin = std::chrono::steady_clock::now();
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  Prepared p = prepare(args, terminal);
  if (args.dry_run) {
    show_plans(args, p);
    return 0;
  }
  if (args.device != "cpu")
    terminal.info(fmt::format("device {}: no accelerator is used or needed, this runs on the host's {} cores",
                              args.device, threads()));
  open_folders(args, p, terminal);
  try {
    bool pending = false;
    for (Target& t : p.targets) {
      if (!t.folder) continue;
      t.writer->open(*t.folder, terminal);
      pending = pending || !t.folder->committed();
    }
    if (pending) carry_out(p, terminal);
    for (Target& t : p.targets) {
      if (t.folder) t.writer->finish(describe(args, p, t), t.extra);
    }
  } catch (const Error& e) {
    // What will be wrong the next time too is not worth keeping.
    if (e.parts.kind == Error::Kind::kInput) discard(p);
    throw;
  }
  report(args, p, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
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
      .texts("--format", args->formats,
             "what the result is for: " + format_names() +
                 " (default: what the recipe's saver says); several: each in a folder of its name")
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
