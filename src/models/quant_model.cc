// SPDX-License-Identifier: Apache-2.0
#include "models/quant_model.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "models/clip_names.h"
#include "models/clip_vision.h"
#include "models/encoder_layers.h"
#include "models/model_layers.h"
#include "models/umt5.h"
#include "models/wan_checkpoint.h"

namespace wanslim {
namespace {

constexpr std::string_view kClipTensor = "visual.patch_embedding.weight", kTextualTower = "textual.",
                           kLogScale = "log_scale";
// transformers ties it to "shared.weight" and may store both.
constexpr std::string_view kTiedEmbedding = "encoder.embed_tokens.weight";

// Error if the file holds a tensor under another name than the layers have.
void require_no_more(const QuantModel& model, const NamedCheckpoint& weights, std::string_view ignored) {
  std::set<const StoredTensor*> known;
  for (const LayerPlan& layer : model.layers) {
    for (const std::string& name : layer.tensors()) known.insert(weights.find(name));
  }
  for (const StoredTensor& tensor : weights.file().tensors()) {
    if (known.contains(&tensor) || tensor.name.starts_with(ignored)) continue;
    throw Error(
        {.what = fmt::format("the {} has no tensor of this name{}", name_of(model.part),
                             tensor.name.ends_with("_scale") ? ": the file is quantized already" : ""),
         .where = weights.file().describe(tensor),
         .hint = "give the float checkpoint as it was published"});
  }
}

QuantModel open_text_encoder(const Path& path) {
  auto weights = std::make_shared<NamedCheckpoint>(open_umt5(path));
  QuantModel model{.part = ModelPart::kTextEncoder, .text_encoder = umt5_geometry(*weights)};
  model.variant = umt5_variant(model.text_encoder);
  model.layers = umt5_layers(*weights);
  require_no_more(model, *weights, kTiedEmbedding);
  model.file = &weights->file();
  model.weights = std::move(weights);
  return model;
}

QuantModel open_image_encoder(const Path& path) {
  auto weights = std::make_shared<NamedCheckpoint>(open_clip(path));
  QuantModel model{.part = ModelPart::kImageEncoder};
  model.variant = clip_geometry(*weights) == kClipVitH14 ? "clip-vit-h-14" : "clip-custom";
  model.layers = clip_layers(*weights);
  // No runtime computes with it, but LightX2V wants to find it.
  if (weights->has(kLogScale)) {
    const TensorSpec spec{.name = std::string(kLogScale),
                          .shape = weights->shape(kLogScale),
                          .layer = std::string(kLogScale),
                          .role = TensorRole::kEmbedding,
                          .unit = ""};
    model.layers.push_back(spec_layers({&spec, 1}, *weights)[0]);
  }
  require_no_more(model, *weights, kTextualTower);
  model.file = &weights->file();
  model.weights = std::move(weights);
  return model;
}

}  // namespace

ModelPart detect_part(const Checkpoint& file) {
  if (file.find(kClipTensor)) return ModelPart::kImageEncoder;
  return detect_umt5_naming(file.tensors()) ? ModelPart::kTextEncoder : ModelPart::kTransformer;
}

QuantModel open_quant_model(const Path& path) {
  Checkpoint file = Checkpoint::open(path);
  const ModelPart part = detect_part(file);
  if (part == ModelPart::kTextEncoder) return open_text_encoder(path);
  if (part == ModelPart::kImageEncoder) return open_image_encoder(path);
  auto weights = std::make_shared<WanCheckpoint>(open_wan(std::move(file), path));
  QuantModel model{.variant = variant_name(weights->geometry()), .geometry = weights->geometry()};
  model.layers = model_layers(*weights);
  model.file = &weights->file();
  model.weights = std::move(weights);
  return model;
}

}  // namespace wanslim
