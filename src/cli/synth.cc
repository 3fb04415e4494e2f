// SPDX-License-Identifier: Apache-2.0
#include "models/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/terminal.h"

namespace wanslim {
namespace {

struct SynthArgs {
  std::string variant, dir, dtype = "f32", naming = "official", parts;
  int64_t layers = 0, shards = 0, seed = 0, threads = 0;
  bool overwrite = false, json = false;
};

std::string variant_names() {
  std::string out;
  for (const WanVariant& row : wan_variants()) out += (out.empty() ? "" : ", ") + std::string(row.name);
  return out;
}

void print(const SynthArgs& args, const SynthOptions& options, const SynthResult& result) {
  if (args.json) {
    Json files = Json::array();
    for (const Path& file : result.files) files.push_back(file.string());
    Json beside = Json::array();
    for (const Path& file : result.beside) beside.push_back(file.string());
    const Json out = {{"variant", args.variant},
                      {"layers", options.geometry.layers},
                      {"dtype", args.dtype},
                      {"naming", args.naming},
                      {"seed", args.seed},
                      {"tensors", result.tensors},
                      {"parameters", result.parameters},
                      {"bytes", result.bytes},
                      {"files", files},
                      {"beside", beside}};
    std::printf("%s\n", out.dump(2).c_str());
    return;
  }
  fmt::print(
      "{}: {} with {} blocks, made-up weights of seed {}: {} tensors, {} parameters, {} in {} file{}\n",
      args.dir, args.variant, options.geometry.layers, args.seed, result.tensors, result.parameters,
      human_bytes(static_cast<double>(result.bytes)), result.files.size(),
      result.files.size() == 1 ? "" : "s");
  if (result.beside.empty()) return;
  std::string names;
  for (const Path& file : result.beside) names += (names.empty() ? "" : ", ") + file.filename().string();
  fmt::print("beside it, for generate: {}, {}\n", names,
             human_bytes(static_cast<double>(result.beside_bytes)));
}

// A small checkpoint is for trying things out, so it is whole; the other parts of a published one take 12 GB
// and more.
bool wants_parts(const SynthArgs& args) {
  if (!args.parts.empty()) return args.parts == "all";
  return args.variant == "tiny" && args.naming == "official";
}

int run_synth(const SynthArgs& args) {
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  SynthOptions options{.geometry = wan_variant(args.variant).geometry,
                       .dtype = synth_dtype_from_name(args.dtype),
                       .naming = naming_from_name(args.naming),
                       .shards = static_cast<int>(std::clamp<int64_t>(args.shards, -1, 1 << 20)),
                       .seed = static_cast<uint64_t>(args.seed),
                       .overwrite = args.overwrite,
                       .parts = wants_parts(args)};
  if (args.layers != 0) options.geometry = with_layers(options.geometry, args.layers);
  const SynthResult result = write_synth(args.dir, options, terminal);
  print(args, options, result);
  return 0;
}

}  // namespace

std::function<int()> setup_synth(Options& options) {
  auto args = std::make_shared<SynthArgs>();
  options.text("VARIANT", args->variant, "one of " + variant_names(), true)
      .text("DIR", args->dir, "folder to write, made if it is not there", true)
      .integer("--layers", args->layers, "number of blocks, 0: as published")
      .choice("--dtype", args->dtype, {"f32", "bf16", "f16", "mixed"}, "how the weights are stored")
      .choice("--naming", args->naming, {"official", "diffusers", "comfyui"}, "how the tensors are called")
      .integer("--shards", args->shards, "files to split into, 0: each below 10 GB")
      .integer("--seed", args->seed, "other weights for another number")
      .choice("--parts", args->parts, {"all", "transformer"},
              "with text encoder, tokenizer, VAE and image encoder, as generate needs them; left out: all of "
              "tiny, only the transformer of the others")
      .flag("--overwrite", args->overwrite, "replace the checkpoint that is in DIR")
      .integer("--threads", args->threads, "threads, 0: all cores")
      .flag("--json", args->json, "what was written as JSON");
  return [args] { return run_synth(*args); };
}

}  // namespace wanslim
