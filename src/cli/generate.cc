// SPDX-License-Identifier: Apache-2.0
#include "cli/generate.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/profile.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/generate_state.h"
#include "cli/lora_option.h"
#include "cli/profile_report.h"
#include "cli/terminal.h"
#include "io/media.h"
#include "io/tensor_file.h"
#include "models/vae_checkpoint.h"
#include "models/wan_vae.h"
#include "sampling/vace.h"

namespace wanslim {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// The latents of an earlier run with the same settings, if there are any. A run without a seed of its own
// takes theirs.
std::optional<DenoiseState> resume(GenerateRun& run, Progress& progress) {
  const Path path = state_path(run.args.save_file);
  if (run.args.overwrite && !run.args.resume) return std::nullopt;
  std::optional<SavedState> saved = load_state(path);
  if (!saved) {
    if (!run.args.resume) return std::nullopt;
    throw Error{{.what = "nothing to go on from: there is no such file", .where = path.string()}};
  }
  if (!run.seed_given && saved->identity.contains("seed") && saved->identity["seed"].is_number_unsigned()) {
    run.seed = saved->identity["seed"].get<uint64_t>();
    run.identity["seed"] = run.seed;
  }
  const std::string differs = difference(saved->identity, run.identity);
  if (!differs.empty() || saved->state.latent.shape() != run.latent_shape()) {
    throw Error{{.what = "keeps the latents of a run with other settings: " + differs,
                 .where = path.string(),
                 .hint = "give --overwrite to start anew, or another --save_file"}};
  }
  progress.info(fmt::format("going on after step {} of {}", saved->state.solver.step, run.settings.steps));
  return std::move(saved->state);
}

void sample(const GenerateRun& run, const GeneratePlan& plan, DenoiseState& state, Progress& progress) {
  if (plan.steps_left == 0) return;
  const GenerateInputs inputs = make_inputs(run, plan, progress);
  const WanDit::Options options{.compute = run.compute, .block_budget = plan.block_budget};
  WanDit dit(run.models.transformer, run.models.model->geometry(), options);
  std::vector<WanPrompt> prompts;
  for (const Tensor& text : inputs.texts) {
    prompts.push_back(dit.embed_prompt(text, inputs.clip.empty() ? nullptr : &inputs.clip));
  }
  const Solver& row = solver(run.settings.solver);
  const DenoiseJob job{.schedule = make_schedule(row.first_sigma, run.settings.steps, run.settings.shift),
                       .solver = &row,
                       .guidance = run.settings.guidance,
                       .condition = inputs.condition.empty() ? nullptr : &inputs.condition,
                       .vace_context = inputs.vace_context.empty() ? nullptr : &inputs.vace_context,
                       .vace_scale = static_cast<float>(run.args.vace_scale)};
  progress.start_steps("sampling, step", static_cast<uint64_t>(run.settings.steps),
                       static_cast<uint64_t>(dit.units()), static_cast<uint64_t>(state.solver.step));
  const DenoiseHooks hooks{
      .after_unit = [&](int64_t unit) { progress.advance(1, dit.unit_path(unit)); },
      .after_step =
          [&](const DenoiseState& s) { save_state(state_path(run.args.save_file), run.identity, s); }};
  denoise(dit, prompts[0], run.guided() ? &prompts[1] : nullptr, job, state, hooks);
  progress.finish();
}

Frames decode(const GenerateRun& run, const GeneratePlan& plan, const Tensor& latent, Progress& progress) {
  VaeDecoder decoder(open_vae(run.models.vae));
  Frames frames = make_frames(decoder.frames(latent.dim(1)), run.pixels.height, run.pixels.width);
  frames.fps = static_cast<double>(kFramesPerSecond);
  const PixelRounding rounding = run.task->makes_image ? PixelRounding::kNearest : PixelRounding::kTruncate;
  const auto strips = static_cast<uint64_t>(plan.decoding.strips),
             count = static_cast<uint64_t>(frames.count);
  progress.start_steps(strips > 1 ? "decoding, strip" : "decoding, frame", strips > 1 ? strips : count,
                       strips > 1 ? count : 1, 0);
  const auto place = [&](const VideoFrame& part) {
    throw_if_interrupted();
    const auto row = static_cast<size_t>(part.width * 3);
    for (int64_t y = 0; y < part.height; ++y) {
      const int64_t at = ((part.top + y) * frames.width + part.left) * 3;
      pixels_from_values(part.rgb.subspan(static_cast<size_t>(y) * row, row), rounding,
                         frames.frame(part.index).subspan(static_cast<size_t>(at), row));
    }
    progress.advance(1, "");
  };
  decoder.decode(latent, place, plan.decoding.strips);
  progress.finish();
  return frames;
}

void print_result(const GenerateRun& run, const GeneratePlan& plan, double sampling, double decoding) {
  const auto steps = static_cast<double>(plan.steps_left);
  const double per_step = steps > 0 ? sampling / steps : 0;
  if (run.args.json) {
    Json json = to_json(run, plan);
    json["save_file"] = run.args.save_file;
    if (run.args.save_latents) json["save_latents"] = *run.args.save_latents;
    json["sampling_seconds"] = sampling;
    json["seconds_per_step"] = per_step;
    json["decoding_seconds"] = decoding;
    json["peak_memory"] = peak_memory();
    if (run.args.profile) json["profile"] = profile_json();
    std::printf("%s\n", json.dump(2).c_str());
    return;
  }
  fmt::print(
      "{}: {} frame{} of {} x {}, seed {}; {:.1f} s for inputs and sampling, {:.1f} s for decoding, "
      "peak memory {}\n",
      run.args.save_file, run.frames, run.frames == 1 ? "" : "s", run.pixels.width, run.pixels.height,
      run.seed, sampling, decoding, human_bytes(static_cast<double>(peak_memory())));
  if (run.args.profile) fmt::print("{}\n", profile_text());
}

// A file that stands there is kept: it must be what an unfinished run of the same settings wrote.
void save_latents(const GenerateRun& run, const Tensor& latent) {
  const Path path = *run.args.save_latents;
  if (!run.args.overwrite && path_exists(path)) {
    const TensorMap there = read_tensors(path);
    const auto at = there.find("latent");
    const bool same = at != there.end() && at->second.shape() == latent.shape() &&
                      std::ranges::equal(at->second.raw(), latent.raw());
    if (same) return;
    throw Error{{.what = "exists and holds other latents",
                 .where = path.string(),
                 .hint = "give another --save_latents, or --overwrite"}};
  }
  TensorMap named;
  named["latent"] = latent.clone();
  write_tensors(path, named);
}

int run_generate(const GenerateArgs& args) {
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  GenerateRun run = set_up_generate(args, terminal);
  std::optional<DenoiseState> saved = resume(run, terminal);
  const GeneratePlan plan = plan_generate(run, saved ? saved->solver.step : 0);
  if (args.dry_run) {
    std::printf("%s\n", args.json ? to_json(run, plan).dump(2).c_str() : to_text(run, plan).c_str());
    return 0;
  }
  terminal.info(to_text(run, plan));
  if (args.profile) Profile::start();
  DenoiseState state = saved ? std::move(*saved) : DenoiseState{.latent = starting_noise(run)};
  const Stopwatch sampling;
  sample(run, plan, state, terminal);
  const double sampling_seconds = sampling.seconds();
  const Tensor latent = drop_references(state.latent, static_cast<int64_t>(run.references.size()));
  if (run.args.save_latents) save_latents(run, latent);
  const Stopwatch decoding;
  write_media(run.args.save_file, decode(run, plan, latent, terminal));
  remove_file(state_path(run.args.save_file));
  print_result(run, plan, sampling_seconds, decoding.seconds());
  return 0;
}

void add_inputs(Options& options, GenerateArgs& args) {
  std::string tasks;
  for (const WanTask& task : wan_tasks()) tasks += (tasks.empty() ? "" : ", ") + std::string(task.name);
  options.text("--task", args.task, "one of " + tasks)
      .text("--ckpt_dir", args.ckpt_dir, "folder of the checkpoint as published")
      .text("--prompt", args.prompt, "what to show")
      .text("--negative_prompt", args.negative_prompt, "what not to show; left out: the official text")
      .text("--image", args.image, "i2v: the first frame")
      .text("--first_frame", args.first_frame, "flf2v: the first frame")
      .text("--last_frame", args.last_frame, "flf2v: the last frame")
      .text("--src_video", args.src_video, "vace: the video to change")
      .text("--src_mask", args.src_mask,
            "vace: a video, white where the source changes; left out: everywhere")
      .text("--src_ref_images", args.src_ref_images,
            "vace: pictures of what shall appear, with commas between");
}

void add_sampling(Options& options, GenerateArgs& args) {
  std::string rows;
  for (const Solver& row : solvers()) rows += (rows.empty() ? "" : ", ") + std::string(row.name);
  options.maybe_text("--size", args.size, "WIDTH*HEIGHT; of image tasks the area, the aspect is the image's")
      .flag("--any_size", args.options.any_size, "sizes that the model was not trained for too")
      .integer("--frame_num", args.options.frames, "4n + 1 frames, 16 a second")
      .text("--sample_solver", args.solver, "one of " + rows)
      .integer("--sample_steps", args.options.steps, "steps of the solver")
      .number("--sample_shift", args.options.shift, "of the noise levels")
      .number("--sample_guide_scale", args.options.guidance, "1: without negative prompt, in half the time")
      .integer("--base_seed", args.base_seed, "of the noise; -1: any")
      .choice("--noise_source", args.noise_source, {"cpu", "cuda"}, "whose noise of the seed: PyTorch's on")
      .text("--noise", args.noise, "the noise itself, .npy or .safetensors")
      .number("--vace_scale", args.vace_scale, "vace: weight of the source");
}

void add_files(Options& options, GenerateArgs& args) {
  options.text("--quantized", args.quantized, "folder with quantized Linears to use in place of the model's")
      .texts("--lora", args.loras, kLoraHelp)
      .text("--prompt_embeddings", args.embeddings,
            ".safetensors with context and context_null in place of prompts and text encoder")
      .text("--text_encoder", args.text_encoder, "weights of umT5 in place of those in the checkpoint")
      .text("--tokenizer", args.tokenizer, "likewise")
      .text("--vae", args.vae, "likewise")
      .text("--clip", args.clip, "likewise")
      .text("--save_file", args.save_file, "the result: .mp4, .gif or .png")
      .optional_text("--save_latents", args.save_latents, "keep the latents too, in this .safetensors")
      .flag("--overwrite", args.overwrite, "replace files that exist, start anew")
      .flag("--resume", args.resume,
            "an error if there is no interrupted run to go on from (one is gone on from in any case)");
}

void add_placement(Options& options, GenerateArgs& args) {
  options.text("--offload_model", args.offload_model, "of the official script; means nothing here")
      .flag("--t5_cpu", args.t5_cpu, "likewise")
      .flag("--t5_fsdp", args.t5_fsdp, "likewise")
      .flag("--dit_fsdp", args.dit_fsdp, "likewise")
      .integer("--ulysses_size", args.ulysses_size, "likewise")
      .integer("--ring_size", args.ring_size, "likewise");
}

}  // namespace

std::function<int()> setup_generate(Options& options) {
  auto args = std::make_shared<GenerateArgs>();
  add_inputs(options, *args);
  add_sampling(options, *args);
  add_files(options, *args);
  options.choice("--compute", args->compute, {"f32", "bf16"}, "float, or mixed precision as official")
      .text("--memory", args->memory,
            "limit such as 4GB: blocks that do not fit are streamed from the disk, the VAE works in strips")
      .flag("--dry_run", args->dry_run, "show the plan and stop")
      .flag("--profile", args->profile, "show where the time went, by kind of work")
      .flag("--json", args->json, "plan and times as JSON")
      .integer("--threads", args->threads, "threads, 0: all cores");
  add_placement(options, *args);
  return [args] { return run_generate(*args); };
}

}  // namespace wanslim
