// SPDX-License-Identifier: Apache-2.0
#include "cli/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/profile.h"
#include "base/spelling.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/profile_report.h"
#include "cli/terminal.h"

namespace wanslim {
namespace {

// The table. A new module: its file and a row here.
constexpr Module kModules[] = {
    {"dit", "the transformer: in.x.N, in.t, in.context.N [, in.y.N, in.clip_fea, in.vace_context.N] -> out.N",
     true, run_dit_module},
    {"umt5", "the text encoder: in.ids, in.mask [B, L] -> out.N, rows of the valid tokens", false,
     run_umt5_module},
    {"vae-encode", "in.video [3, F, H, W] in [-1, 1] -> latent, scaled", false, run_vae_encode_module},
    {"vae-decode", "in.latent [16, T, h, w], scaled -> video_unclamped", false, run_vae_decode_module},
    {"clip", "the image encoder: in.image_u8 [3, H, W] -> out", false, run_clip_module},
    {"tokenize", "a JSON list of prompts -> a JSON list of lists of token ids", false, run_tokenize_module},
};

const Module& find_module(const std::string& name) {
  std::vector<std::string> names;
  for (const Module& module : kModules) {
    if (name == module.name) return module;
    names.emplace_back(module.name);
  }
  throw Error{{.what = "there is no module \"" + name + "\"" + did_you_mean(name, names),
               .where = "MODULE",
               .hint = "modules: " + fmt::format("{}", fmt::join(names, ", ")),
               .kind = Error::Kind::kUsage}};
}

int run_module(const ModuleArgs& args) {
  const Module& module = find_module(args.name);
  if (args.repeat < 1) {
    throw Error{{.what = "must be at least 1", .where = "--repeat", .kind = Error::Kind::kUsage}};
  }
  if (!module.takes_quantized && !(args.quantized.empty() && args.memory.empty())) {
    throw Error{{.what = "is for the transformer, not for module " + args.name,
                 .where = args.quantized.empty() ? "--memory" : "--quantized",
                 .kind = Error::Kind::kUsage}};
  }
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  if (args.profile) Profile::start();
  ModuleResult result = module.run(args, terminal);
  if (args.profile) result.facts["profile"] = profile_json();
  std::vector<double> sorted = result.seconds;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted.empty() ? 0 : sorted[sorted.size() / 2];
  if (args.json) {
    Json json = {{"module", args.name}, {"seconds_per_forward", median}, {"seconds", result.seconds}};
    json.update(result.facts);
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    fmt::print("{}: {} written, {:.4g} s per forward\n", args.name, args.out, median);
    if (args.profile) fmt::print("{}\n", profile_text());
  }
  return 0;
}

}  // namespace

void time_forwards(const ModuleArgs& args, ModuleResult& result, const std::function<void()>& forward) {
  using Clock = std::chrono::steady_clock;
  for (int64_t i = 0; i < args.repeat; ++i) {
    throw_if_interrupted();
    const Clock::time_point begin = Clock::now();
    forward();
    result.seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
}

const Tensor& need_input(const TensorMap& tensors, const std::string& name, const std::string& file) {
  const auto at = tensors.find(name);
  if (at != tensors.end()) return at->second;
  throw Error{{.what = "has no tensor \"" + name + "\"", .where = file}};
}

std::function<int()> setup_module(Options& options) {
  auto args = std::make_shared<ModuleArgs>();
  std::string modules = "which part:";
  for (const Module& module : kModules) modules += fmt::format("\n{} - {}", module.name, module.summary);
  options.text("MODULE", args->name, modules, true)
      .text("--model", args->model, "its weights: file or folder", true)
      .text("--in", args->in, "inputs, a .safetensors or .json file", true)
      .text("--out", args->out, "where the outputs go, of the same kind", true)
      .choice("--compute", args->compute, {"f32", "bf16"},
              "arithmetic; left out: as the official pipeline computes this part")
      .text("--quantized", args->quantized, "folder with quantized Linears to use in place of the model's")
      .text("--memory", args->memory, "limit such as 4GB: blocks that do not fit are streamed from the disk")
      .number("--vace_scale", args->vace_scale, "weight of VACE hints")
      .integer("--repeat", args->repeat, "forwards to run, for timing")
      .integer("--threads", args->threads, "threads, 0: all cores")
      .flag("--profile", args->profile, "show where the time went, by kind of work")
      .flag("--json", args->json, "times and facts as JSON");
  return [args] { return run_module(*args); };
}

}  // namespace wanslim
