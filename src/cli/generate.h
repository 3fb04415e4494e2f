// SPDX-License-Identifier: Apache-2.0
// `wanslim generate`: prompt to picture or video on this machine's CPU. In the order of a run:
//   generate_setup   what was asked for, checked against the files before any work
//   generate_plan    what it will take
//   generate_inputs  prompts, images and source videos as the transformer takes them
//   generate_state   the latents between two runs
//   generate         the command
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "config/wan_tasks.h"
#include "io/frames.h"
#include "models/clip_vision.h"
#include "models/lora.h"
#include "models/umt5.h"
#include "models/umt5_tokenizer.h"
#include "models/wan_checkpoint.h"
#include "models/wan_memory.h"
#include "sampling/condition.h"
#include "sampling/denoise.h"

namespace wanslim {

struct GenerateArgs {
  std::string task = "t2v-14B", ckpt_dir, prompt, negative_prompt, save_file;
  std::string image, first_frame, last_frame, src_video, src_mask, src_ref_images;
  std::vector<std::string> loras;
  std::string quantized, memory, noise, noise_source = "cpu", embeddings, compute = "bf16";
  std::string text_encoder, tokenizer, vae, clip;  // in place of those in ckpt_dir
  TaskOptions options;
  std::optional<std::string> size, save_latents;
  std::string solver = "unipc";
  int64_t base_seed = -1, threads = 0;
  double vace_scale = 1;
  bool resume = false, overwrite = false, dry_run = false, json = false, profile = false;
  // Of the official script: where parts of the model stand and on how many GPUs, which means nothing here.
  std::string offload_model;
  int64_t ulysses_size = 1, ring_size = 1;
  bool t5_cpu = false, t5_fsdp = false, dit_fsdp = false;
  bool asks_for_placement() const {
    return !offload_model.empty() || ulysses_size != 1 || ring_size != 1 || t5_cpu || t5_fsdp || dit_fsdp;
  }
};

// A file of weights and what is needed of it before work starts; weights are read when their turn comes.
struct GenerateModels {
  std::shared_ptr<const WanCheckpoint> model;
  std::shared_ptr<const LoraSet> loras;
  std::shared_ptr<const WeightSource> transformer;  // `model` with LoRAs merged or quantized Linears over it
  std::optional<NamedCheckpoint> text_encoder;      // absent with --prompt_embeddings
  std::optional<Umt5Tokenizer> tokenizer;
  Path vae;
  int64_t vae_dim = 0;
  std::optional<NamedCheckpoint> clip;  // image tasks only
};

// Everything that is known before the first weight is read.
struct GenerateRun {
  GenerateArgs args;
  const WanTask* task = nullptr;
  TaskSettings settings;
  Compute compute = Compute::kBF16;
  GenerateModels models;
  uint64_t seed = 0;
  bool seed_given = false;
  std::vector<std::vector<int32_t>> prompts;  // token ids: prompt, and negative prompt unless guidance is 1
  std::vector<Tensor> embeddings;             // of --prompt_embeddings, in the same order
  // Pictures as floats [3, h, w] in [-1, 1]: the image, or first and last frame; reference images.
  std::vector<Tensor> images, references;
  Tensor source, mask;  // of VACE: [3, F, H, W] and [1, F, H, W]
  PlaneSize pixels;     // of a frame of the result
  int64_t frames = 0;
  Tensor given_noise;  // of --noise
  Json identity;       // what the result depends on; two runs with the same can share their latents

  bool guided() const { return settings.guidance != 1; }
  int64_t latent_frames() const { return (frames - 1) / kTimeStride + 1; }
  // [16, references + T, h, w]
  Shape latent_shape() const;
  int64_t tokens() const;
  int64_t text_rows() const;
  WanLoad load() const;
};

// generate_setup: reads headers, small files and pictures; Error for whatever cannot work.
GenerateRun set_up_generate(const GenerateArgs& args, Progress& progress);

// generate_plan
struct VaePass {
  uint64_t memory = 0;
  int64_t strips = 1;  // see vae_strips.h
};
struct GeneratePlan {
  WanMemory memory;
  uint64_t block_budget = 0;                          // see BlockStore
  uint64_t text_bytes = 0;                            // to read for the prompts
  uint64_t text_memory = 0, transformer_memory = 0;   // one after the other, as are
  VaePass encoding, decoding;                         // of inputs and of the result
  double product_rate = 0;                            // operations a second
  double sampling_seconds = 0, decoding_seconds = 0;  // estimates
  int64_t steps_left = 0;
  uint64_t vae_memory() const { return std::max(encoding.memory, decoding.memory); }
};
GeneratePlan plan_generate(const GenerateRun& run, int64_t steps_done);
std::string to_text(const GenerateRun& run, const GeneratePlan& plan);
Json to_json(const GenerateRun& run, const GeneratePlan& plan);

// generate_inputs
struct GenerateInputs {
  std::vector<Tensor> texts;  // features of the prompts
  Tensor clip;                // [images * 257, width]; empty without images
  Tensor condition;           // y of the image tasks; else empty
  Tensor vace_context;        // of VACE; else empty
};
GenerateInputs make_inputs(const GenerateRun& run, const GeneratePlan& plan, Progress& progress);
Tensor starting_noise(const GenerateRun& run);

}  // namespace wanslim
