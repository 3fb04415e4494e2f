// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "base/error.h"
#include "base/hash.h"
#include "cli/generate.h"
#include "cli/generate_sources.h"
#include "cli/generate_state.h"
#include "cli/lora_option.h"
#include "formats/format.h"
#include "io/media.h"
#include "io/npy.h"
#include "io/tensor_file.h"
#include "models/overlay_source.h"
#include "models/vae_checkpoint.h"
#include "sampling/noise.h"

namespace wanslim {
namespace {

[[noreturn]] void refuse(std::string what, std::string where, std::string hint = {}) {
  throw usage_error(std::move(what), std::move(where), std::move(hint));
}

void require(const std::string& value, const char* option, const WanTask& task) {
  if (value.empty()) refuse(fmt::format("is needed for task {}", task.name), option);
}

void require_absent(const std::string& value, const char* option, const WanTask& task) {
  if (!value.empty()) refuse(fmt::format("task {} does not take it", task.name), option);
}

void check_options(const GenerateArgs& args, const WanTask& task) {
  if (args.embeddings.empty()) {
    require(args.prompt, "--prompt", task);
  } else if (!args.prompt.empty() || !args.negative_prompt.empty()) {
    refuse("stands in place of --prompt and --negative_prompt: give one of them", "--prompt_embeddings");
  }
  require(args.ckpt_dir, "--ckpt_dir", task);
  if (!args.loras.empty() && !args.quantized.empty())
    refuse("stands beside --quantized, whose weights it cannot change", "--lora",
           "give the same --lora to `wanslim quant`");
  (task.images == 1 ? require : require_absent)(args.image, "--image", task);
  (task.images == 2 ? require : require_absent)(args.first_frame, "--first_frame", task);
  (task.images == 2 ? require : require_absent)(args.last_frame, "--last_frame", task);
  if (!task.takes_source) {
    require_absent(args.src_video, "--src_video", task);
    require_absent(args.src_mask, "--src_mask", task);
    require_absent(args.src_ref_images, "--src_ref_images", task);
  } else if (args.src_video.empty() && !args.src_mask.empty()) {
    refuse("needs --src_video", "--src_mask");
  }
}

void settle_task(GenerateRun& run) {
  run.task = &wan_task(run.args.task);
  check_options(run.args, *run.task);
  TaskOptions options = run.args.options;
  options.size = run.args.size;
  options.solver = run.args.solver;
  run.settings = settle(*run.task, options);
  const Solver& row = solver(run.settings.solver);
  make_schedule(row.first_sigma, run.settings.steps, run.settings.shift);
  run.compute = run.args.compute == "f32" ? Compute::kF32 : Compute::kBF16;
  run.seed_given = run.args.base_seed >= 0;
  run.seed = run.seed_given ? static_cast<uint64_t>(run.args.base_seed) : std::random_device{}() & 0x7fffffff;
}

Path either(const std::string& given, const Path& otherwise) {
  return given.empty() ? otherwise : Path(given);
}

void open_transformer(GenerateRun& run, Progress& progress) {
  GenerateModels& m = run.models;
  m.model = std::make_shared<WanCheckpoint>(open_wan(run.args.ckpt_dir));
  const std::string_view type = model_type(m.model->geometry());
  if (type != run.task->model_type) {
    refuse(fmt::format("task {} needs a {} model, this is {} {} model", run.task->name, run.task->model_type,
                       type == "i2v" ? "an" : "a", type),
           run.args.ckpt_dir);
  }
  m.loras = std::make_shared<LoraSet>(open_loras(run.args.loras, m.model->geometry(), progress));
  m.transformer = std::make_shared<LoraSource>(*m.model, *m.loras);
  if (!run.args.quantized.empty()) {
    std::shared_ptr<const WeightSource> codes = recognize_format(run.args.quantized).read(run.args.quantized);
    m.transformer = overlay(m.model, codes, m.model->geometry(), run.args.quantized);
  }
}

// One error before any work if the parts do not belong together.
void open_parts(GenerateRun& run) {
  GenerateModels& m = run.models;
  const WanGeometry& g = m.model->geometry();
  const Path folder = run.args.ckpt_dir;
  const auto mismatch = [](const char* part, const Path& where, int64_t got, int64_t expected) {
    throw Error{
        {.what = fmt::format("the {} gives {} features, the transformer takes {}", part, got, expected),
         .where = where.string(),
         .hint = "it belongs to another model"}};
  };
  m.vae = either(run.args.vae, folder);
  const NamedCheckpoint vae = open_vae(m.vae);
  m.vae_dim = vae.shape("decoder.head.2.weight").at(1);
  const int64_t channels = vae.shape("decoder.conv1.weight").at(1);
  if (channels != g.out_dim) mismatch("VAE", m.vae, channels, g.out_dim);
  if (run.args.embeddings.empty()) {
    const Path path = either(run.args.text_encoder, folder);
    m.text_encoder = open_umt5(path);
    const Umt5Geometry text = Umt5Encoder(*m.text_encoder).geometry();
    if (text.dim != g.text_dim) mismatch("text encoder", path, text.dim, g.text_dim);
    const Path words = either(run.args.tokenizer, folder / "google" / "umt5-xxl");
    m.tokenizer = Umt5Tokenizer::open(words);
    if (m.tokenizer->vocabulary() > text.vocabulary) {
      throw Error{{.what = fmt::format("the tokenizer has {} words, the text encoder {}",
                                       m.tokenizer->vocabulary(), text.vocabulary),
                   .where = words.string()}};
    }
  }
  if (g.has_image_condition) {
    const Path path = either(run.args.clip, folder);
    m.clip = open_clip(path);
    const ClipVision clip(*m.clip);
    if (clip.width() != g.image_dim) mismatch("image encoder", path, clip.width(), g.image_dim);
  }
}

const Tensor& one_of(const TensorMap& tensors, std::initializer_list<const char*> names,
                     const std::string& file) {
  for (const char* name : names) {
    if (const auto at = tensors.find(name); at != tensors.end()) return at->second;
  }
  throw Error{{.what = fmt::format("has no tensor \"{}\"", *names.begin()), .where = file}};
}

void read_prompts(GenerateRun& run) {
  const GenerateArgs& args = run.args;
  const WanGeometry& g = run.models.model->geometry();
  if (!args.embeddings.empty()) {
    const TensorMap tensors = read_tensors(args.embeddings);
    run.embeddings.push_back(
        floats_of(one_of(tensors, {"context", "in.context"}, args.embeddings), args.embeddings));
    if (run.guided()) {
      run.embeddings.push_back(
          floats_of(one_of(tensors, {"context_null", "in.context_null"}, args.embeddings), args.embeddings));
    }
    for (const Tensor& t : run.embeddings) {
      if (t.shape().size() == 2 && t.dim(0) >= 1 && t.dim(0) <= g.text_len && t.dim(1) == g.text_dim)
        continue;
      throw Error{{.what = fmt::format("an embedding has shape {}, expected [1..{}, {}]",
                                       to_string(t.shape()), g.text_len, g.text_dim),
                   .where = args.embeddings}};
    }
    return;
  }
  const int limit = static_cast<int>(std::min<int64_t>(kMaxPromptTokens, g.text_len));
  run.prompts.push_back(run.models.tokenizer->encode(args.prompt, limit));
  if (run.guided()) {
    run.prompts.push_back(
        run.models.tokenizer->encode(negative_prompt(*run.task, args.negative_prompt), limit));
  }
}

void read_noise(GenerateRun& run) {
  const std::string& file = run.args.noise;
  noise_source(run.args.noise_source);
  if (file.empty()) return;
  Tensor noise;
  if (Path(file).extension() == ".npy") {
    noise = read_npy(file);
  } else {
    const TensorMap tensors = read_tensors(file);
    noise = tensors.size() == 1 ? tensors.begin()->second.clone()
                                : one_of(tensors, {"noise", "in.noise"}, file).clone();
  }
  run.given_noise = noise_from_tensor(noise, run.latent_shape(), file);
}

void check_output(GenerateRun& run) {
  GenerateArgs& args = run.args;
  if (args.save_file.empty()) {
    args.save_file = fmt::format("wan_{}_{}x{}.{}", run.task->name, run.pixels.width, run.pixels.height,
                                 run.task->makes_image ? "png" : "mp4");
  }
  check_media_name(args.save_file, run.frames);
  if (args.save_latents && args.save_latents->empty()) {
    args.save_latents = args.save_file + ".latents.safetensors";
  }
  // A run that ended between its two files left latents; they are compared when they would be written again.
  const bool unfinished = path_exists(state_path(args.save_file));
  for (const std::string& file : {args.save_file, args.save_latents.value_or("")}) {
    if (file.empty()) continue;
    const bool may_stand = args.overwrite || (unfinished && file != args.save_file);
    if (!may_stand && path_exists(file)) {
      throw Error{{.what = "exists", .where = file, .hint = "give another name, or --overwrite"}};
    }
    const Path folder = Path(file).parent_path();
    if (!folder.empty() && !is_folder(folder)) {
      throw Error{{.what = "there is no such folder", .where = folder.string()}};
    }
  }
}

std::string hash_of(const Tensor& tensor) {
  return tensor.empty() ? "" : hash_hex(tensor.raw());
}

// Changes when somebody writes to the file, or to a file in the folder.
std::string fingerprint(const Path& path) {
  std::vector<std::string> lines;
  const auto add = [&](const Path& file) {
    const FileStamp stamp = stamp_of(file);
    lines.push_back(fmt::format("{} {} {}\n", file.filename().string(), stamp.size, stamp.modified_ns));
  };
  if (is_folder(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) add(entry.path());
    }
  } else {
    add(path);
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line;
  return hash_hex(all);
}

void identify(GenerateRun& run) {
  const GenerateArgs& args = run.args;
  const TaskSettings& s = run.settings;
  std::string pictures;
  for (const std::vector<Tensor>* list : {&run.images, &run.references}) {
    for (const Tensor& t : *list) pictures += hash_of(t);
  }
  std::string files;
  for (const Checkpoint::OpenFile& open : run.models.model->file().files()) {
    files += fmt::format("{} {} {}\n", open.file.path().filename().string(), open.stamp.size,
                         open.stamp.modified_ns);
  }
  std::string texts;
  for (const Tensor& t : run.embeddings) texts += hash_of(t);
  run.identity = {{"task", run.task->name},
                  {"width", run.pixels.width},
                  {"height", run.pixels.height},
                  {"frames", run.frames},
                  {"steps", s.steps},
                  {"solver", s.solver},
                  {"shift", s.shift},
                  {"guidance", s.guidance},
                  {"seed", run.seed},
                  {"noise", args.noise.empty() ? args.noise_source : hash_of(run.given_noise)},
                  {"compute", args.compute},
                  {"tokens", run.prompts},
                  {"embeddings", texts},
                  {"images", pictures},
                  {"source", hash_of(run.source) + hash_of(run.mask)},
                  {"vace_scale", args.vace_scale},
                  {"model", hash_hex(files)},
                  {"lora", lora_identity(*run.models.loras)},
                  {"quantized", args.quantized.empty() ? "" : fingerprint(args.quantized)}};
}

}  // namespace

Shape GenerateRun::latent_shape() const {
  return {kLatentChannels, latent_frames() + static_cast<int64_t>(references.size()),
          pixels.height / kSpaceStride, pixels.width / kSpaceStride};
}

int64_t GenerateRun::tokens() const {
  const Shape shape = latent_shape();
  return shape[1] * (shape[2] / 2) * (shape[3] / 2);
}

int64_t GenerateRun::text_rows() const {
  size_t most = 0;
  for (const auto& ids : prompts) most = std::max(most, ids.size());
  for (const Tensor& t : embeddings) most = std::max(most, static_cast<size_t>(t.dim(0)));
  return static_cast<int64_t>(most);
}

WanLoad GenerateRun::load() const {
  const int64_t together = guided() ? 2 : 1;
  return {.tokens = tokens(), .text_rows = text_rows(), .prompts = together, .together = together};
}

GenerateRun set_up_generate(const GenerateArgs& args, Progress& progress) {
  GenerateRun run;
  run.args = args;
  settle_task(run);
  open_transformer(run, progress);
  open_parts(run);
  read_pictures(run);
  check_output(run);
  read_prompts(run);
  read_noise(run);
  identify(run);
  if (args.asks_for_placement()) {
    progress.info(
        "options that place the model on GPUs (--offload_model, --t5_cpu, --ulysses_size, ...) mean nothing "
        "here: everything runs on the CPU");
  }
  return run;
}

}  // namespace wanslim
