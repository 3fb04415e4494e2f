// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/generate.h"
#include "models/vae_checkpoint.h"
#include "models/wan_vae.h"
#include "sampling/noise.h"
#include "sampling/vace.h"

namespace wanslim {
namespace {

// Tells of every block of the text encoder that starts.
class BlockTap : public Tap {
 public:
  explicit BlockTap(Progress& progress) : progress_(progress) {}
  void input(std::string_view layer, const Rows&) override {
    throw_if_interrupted();
    if (layer.ends_with(".attn.q")) progress_.advance(1, layer.substr(0, layer.size() - 7));
  }

 private:
  Progress& progress_;
};

std::vector<Tensor> encode_prompts(const GenerateRun& run, Progress& progress) {
  const Umt5Options options{.compute = run.compute};
  const Umt5Encoder encoder(*run.models.text_encoder, options);
  progress.start_steps("text encoder, block", static_cast<uint64_t>(encoder.geometry().layers), 1, 0);
  BlockTap tap(progress);
  std::vector<Tensor> texts = encoder.encode(run.prompts, {.tap = &tap});
  progress.finish();
  return texts;
}

// Features of all images one after the other.
Tensor encode_images(const GenerateRun& run) {
  const ClipNumerics numerics = run.compute == Compute::kF32 ? ClipNumerics::kF32 : ClipNumerics::kF16;
  const ClipVision clip(*run.models.clip, {.numerics = numerics});
  std::vector<Tensor> parts;
  int64_t rows = 0;
  for (const Tensor& image : run.images) {
    throw_if_interrupted();
    parts.push_back(clip.forward(clip.preprocess(image)));
    rows += parts.back().dim(0);
  }
  Tensor out(parts[0].dtype(), {rows, clip.width()});
  size_t at = 0;
  for (const Tensor& part : parts) {
    std::memcpy(out.raw().data() + at, part.raw().data(), part.bytes());
    at += part.bytes();
  }
  return out;
}

// Latent of a video [3, F, H, W], frame by frame.
Tensor encode_video(VaeEncoder& encoder, const Tensor& video, int64_t strips, Progress& progress,
                    const char* what) {
  const int64_t frames = video.dim(1), height = video.dim(2), width = video.dim(3);
  strips = std::min(strips, std::max(height, width) / kSpaceStride);
  progress.start_steps(what, static_cast<uint64_t>(frames * strips), 1, 0);
  const std::span<const float> values = video.as<float>();
  const auto plane = static_cast<size_t>(height * width);
  const auto read = [&](int64_t index, std::span<float> rgb) {
    throw_if_interrupted();
    for (size_t i = 0; i < rgb.size(); ++i) {
      rgb[i] = values[(i % 3 * static_cast<size_t>(frames) + static_cast<size_t>(index)) * plane + i / 3];
    }
    progress.advance(1, "");
  };
  Tensor latent = encoder.encode(frames, height, width, read, strips);
  progress.finish();
  return latent;
}

Tensor encode_condition(const GenerateRun& run, int64_t strips, Progress& progress) {
  VaeEncoder encoder(open_vae(run.models.vae));
  const Tensor* last = run.images.size() > 1 ? &run.images[1] : nullptr;
  const Tensor video = condition_video(run.images[0], last, run.frames, run.pixels);
  const PlaneSize latent{.height = run.pixels.height / kSpaceStride,
                         .width = run.pixels.width / kSpaceStride};
  return join_channels(condition_mask(run.frames, latent, last != nullptr),
                       encode_video(encoder, video, strips, progress, "image to latent, frame"));
}

Tensor encode_source(const GenerateRun& run, int64_t strips, Progress& progress) {
  VaeEncoder encoder(open_vae(run.models.vae));
  const SplitSource split = split_source(run.source, run.mask);
  const Tensor inactive =
      encode_video(encoder, split.inactive, strips, progress, "what stays to latent, frame");
  const Tensor reactive =
      encode_video(encoder, split.reactive, strips, progress, "what changes to latent, frame");
  std::vector<Tensor> references;
  for (const Tensor& picture : run.references) {
    references.push_back(encode_video(encoder, picture, strips, progress, "reference to latent, frame"));
  }
  return vace_context(inactive, reactive, references,
                      fold_mask(run.mask, static_cast<int64_t>(references.size())));
}

}  // namespace

GenerateInputs make_inputs(const GenerateRun& run, const GeneratePlan& plan, Progress& progress) {
  GenerateInputs inputs;
  if (run.models.text_encoder) {
    inputs.texts = encode_prompts(run, progress);
  } else {
    for (const Tensor& t : run.embeddings) inputs.texts.push_back(t.clone());
  }
  if (!run.images.empty()) {
    progress.info("encoding the image");
    inputs.clip = encode_images(run);
    inputs.condition = encode_condition(run, plan.encoding.strips, progress);
  }
  if (!run.source.empty()) inputs.vace_context = encode_source(run, plan.encoding.strips, progress);
  return inputs;
}

Tensor starting_noise(const GenerateRun& run) {
  if (!run.given_noise.empty()) return run.given_noise.clone();
  Tensor noise(DType::kF32, run.latent_shape());
  const std::vector<float> values = noise_source(run.args.noise_source).draw(run.seed, noise.count(), {});
  std::copy(values.begin(), values.end(), noise.as<float>().begin());
  return noise;
}

}  // namespace wanslim
