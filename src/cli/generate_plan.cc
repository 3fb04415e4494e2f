// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/byte_size.h"
#include "base/error.h"
#include "cli/generate.h"
#include "cli/terminal.h"
#include "models/vae_strips.h"
#include "models/wan_cost.h"

namespace wanslim {
namespace {

// Shares of the rate of large products that whole passes reach. Of the decoder's more than 1, for Winograd
// needs less than half of the operations.
constexpr double kTransformerShare = 0.7, kDecoderShare = 1.8;
constexpr double kWorthMeasuring = 1e11;  // operations

std::string gigabytes(uint64_t bytes) {
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

std::string duration(double seconds) {
  if (seconds < 1) return "less than a second";
  return "about " + human_seconds(seconds);
}

// Small runs are over before the measurement would be.
void estimate_time(const GenerateRun& run, GeneratePlan& plan) {
  const WanGeometry& g = run.models.model->geometry();
  const double forwards = static_cast<double>(plan.steps_left * (run.guided() ? 2 : 1));
  const double sampling = forwards * forward_cost(g, run.tokens(), g.text_len).total();
  const double decoding = vae_decode_cost(run.models.vae_dim, run.frames, run.pixels.area());
  if (sampling + decoding < kWorthMeasuring) return;
  plan.product_rate = measure_product_rate(run.compute);
  const double float_rate =
      run.compute == Compute::kF32 ? plan.product_rate : measure_product_rate(Compute::kF32);
  plan.sampling_seconds = sampling / (plan.product_rate * kTransformerShare);
  plan.decoding_seconds = decoding / (float_rate * kDecoderShare);
}

// The encoder reads and runs one block after the other.
uint64_t text_memory(const NamedCheckpoint& encoder, int64_t rows) {
  const Umt5Geometry g = Umt5Encoder(encoder).geometry();
  uint64_t block = 0, largest = 0;
  for (const TensorSpec& spec : umt5_tensor_specs(g)) {
    if (spec.block != 0) continue;
    const uint64_t bytes = 2 * static_cast<uint64_t>(element_count(spec.shape));
    block += bytes;
    largest = std::max(largest, bytes);
  }
  const int64_t values = 2 * rows * (2 * g.dim + 4 * g.attention_dim + 2 * g.ffn_dim);
  return block + loading_memory(largest) + 4 * static_cast<uint64_t>(values) + kProcessMemory;
}

// As few strips as the limit allows; without one the video goes through in one piece.
VaePass fit_vae(uint64_t (*memory)(const VaeLoad& load, int64_t strips), const VaeLoad& load, uint64_t beside,
                uint64_t limit) {
  VaePass pass{.memory = beside + memory(load, 1), .strips = 1};
  const int64_t most = most_strips(load);
  while (limit > 0 && pass.memory > limit && pass.strips < most)
    pass.memory = beside + memory(load, ++pass.strips);
  return pass;
}

// Floats that inputs hold through the whole run.
uint64_t held_inputs(const GenerateRun& run) {
  uint64_t bytes = run.source.bytes() + run.mask.bytes();
  for (const Tensor& image : run.images) bytes += image.bytes();
  for (const Tensor& image : run.references) bytes += image.bytes();
  return bytes;
}

void plan_vae(const GenerateRun& run, uint64_t limit, GeneratePlan& plan) {
  const VaeLoad load{.dim = run.models.vae_dim,
                     .frames = run.frames,
                     .height = run.pixels.height,
                     .width = run.pixels.width};
  const uint64_t video = static_cast<uint64_t>(run.pixels.area() * run.frames) * 3;  // values
  const uint64_t beside = kProcessMemory + held_inputs(run);
  plan.decoding = fit_vae(vae_decode_memory, load, beside + video, limit);
  // The condition of images is one video of floats, a source is split into two.
  const uint64_t videos = run.source.empty() ? (run.images.empty() ? 0 : 1) : 2;
  if (videos > 0) plan.encoding = fit_vae(vae_encode_memory, load, beside + 4 * videos * video, limit);
}

// What cannot be streamed must fit.
void check_limit(const char* part, uint64_t needed, uint64_t limit) {
  if (needed <= limit) return;
  throw Error{
      {.what = fmt::format("{} are too few: the {} takes {}", gigabytes(limit), part, gigabytes(needed)),
       .where = "--memory",
       .hint = "give more memory, fewer frames or a smaller size",
       .kind = Error::Kind::kUsage}};
}

}  // namespace

GeneratePlan plan_generate(const GenerateRun& run, int64_t steps_done) {
  const WanGeometry& g = run.models.model->geometry();
  GeneratePlan plan;
  plan.memory = estimate_memory(*run.models.transformer, g, run.compute, run.load());
  plan.memory.fixed += held_inputs(run);
  if (run.models.text_encoder) plan.text_memory = text_memory(*run.models.text_encoder, run.text_rows());
  const uint64_t limit = run.args.memory.empty() ? 0 : parse_byte_size(run.args.memory, "--memory");
  plan_vae(run, limit, plan);
  if (limit > 0) {
    plan.block_budget = block_budget(plan.memory, limit);
    check_limit("text encoder", plan.text_memory, limit);
    check_limit("VAE", plan.vae_memory(), limit);
  }
  plan.transformer_memory = plan.block_budget == 0 ? plan.memory.total() : limit;
  if (run.models.text_encoder) {
    for (const StoredTensor& t : run.models.text_encoder->file().tensors()) plan.text_bytes += t.bytes;
  }
  plan.steps_left = run.settings.steps - steps_done;
  estimate_time(run, plan);
  return plan;
}

std::string to_text(const GenerateRun& run, const GeneratePlan& plan) {
  const TaskSettings& s = run.settings;
  std::string out = fmt::format("{}: {} frame{} of {} x {}, {} steps of {}, shift {}, guidance {}, seed {}\n",
                                run.task->name, run.frames, run.frames == 1 ? "" : "s", run.pixels.width,
                                run.pixels.height, s.steps, s.solver, s.shift, s.guidance, run.seed);
  if (run.models.text_encoder) {
    out += fmt::format("  text encoder  {} to read, {} tokens at most, {}\n", gigabytes(plan.text_bytes),
                       run.text_rows(), gigabytes(plan.text_memory));
  }
  out += fmt::format("  transformer   {} tokens, {} forwards left, {}{}\n", run.tokens(),
                     plan.steps_left * (run.guided() ? 2 : 1), gigabytes(plan.transformer_memory),
                     plan.block_budget > 0 ? ", blocks streamed from the disk" : "");
  const int64_t strips = std::max(plan.encoding.strips, plan.decoding.strips);
  out += fmt::format("  VAE           {}{}\n", gigabytes(plan.vae_memory()),
                     strips > 1 ? fmt::format(", in {} strips", strips) : "");
  if (plan.product_rate > 0) {
    out += fmt::format("  time          sampling {}, decoding {} ({:.0f} GFLOP/s here)\n",
                       duration(plan.sampling_seconds), duration(plan.decoding_seconds),
                       plan.product_rate / 1e9);
  }
  out.pop_back();
  return out;
}

Json to_json(const GenerateRun& run, const GeneratePlan& plan) {
  return {{"task", run.task->name},
          {"width", run.pixels.width},
          {"height", run.pixels.height},
          {"frames", run.frames},
          {"steps", run.settings.steps},
          {"steps_left", plan.steps_left},
          {"solver", run.settings.solver},
          {"shift", run.settings.shift},
          {"guidance", run.settings.guidance},
          {"seed", run.seed},
          {"tokens", run.tokens()},
          {"text_rows", run.text_rows()},
          {"transformer_memory", plan.transformer_memory},
          {"blocks_streamed", plan.block_budget > 0},
          {"text_encoder_memory", plan.text_memory},
          {"vae_memory", plan.vae_memory()},
          {"vae_encode_strips", plan.encoding.strips},
          {"vae_decode_strips", plan.decoding.strips},
          {"text_encoder_bytes", plan.text_bytes},
          {"product_rate", plan.product_rate},
          {"sampling_seconds_estimate", plan.sampling_seconds},
          {"decoding_seconds_estimate", plan.decoding_seconds}};
}

}  // namespace wanslim
