// SPDX-License-Identifier: Apache-2.0
#include "formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "formats/gguf_text.h"
#include "formats/gguf_verify.h"
#include "formats/model_checks.h"
#include "io/gguf.h"
#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

// general.file_type: llama.cpp's enum. A file of one K type is what it calls "small".
struct FileType {
  std::string_view type;
  uint32_t id;
};
constexpr FileType kFileTypes[] = {{"F16", 1},   {"Q4_0", 2},  {"Q8_0", 7},  {"Q2_K", 10},
                                   {"Q3_K", 11}, {"Q4_K", 14}, {"Q5_K", 16}, {"Q6_K", 18}};
constexpr uint32_t kQuantizationVersion = 2;

constexpr int64_t kSmall = 1024;  // elements up to which a tensor stays F32
constexpr size_t kPlainRank = 4;  // ggml's own; more only in F32

bool supports(const QuantScheme& scheme, std::string* why) {
  if (is_ggml(scheme.weight) && scheme.activation == Encoding::kFloat) return true;
  if (why) {
    *why = is_ggml(scheme.weight) ? "GGUF runtimes choose the precision of activations themselves"
                                  : "GGUF holds the types Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, Q3_K and Q2_K";
  }
  return false;
}

void check(const FormatJob& job) {
  if (job.part == ModelPart::kTextEncoder) check_text_encoder(job);
  for (const LayerPlan& layer : job.layers) {
    for (const std::string& name : layer.tensors()) {
      if (name.size() > kMaxGgufName) {
        throw Error(
            {.what = fmt::format("the name has {} bytes, GGUF takes at most {}", name.size(), kMaxGgufName),
             .where = name});
      }
    }
    if (!layer.quantized() || !never_in_blocks(layer.name + ".weight")) continue;
    throw Error({.what = "no GGUF runtime reads this layer in blocks",
                 .where = layer.name,
                 .hint = "exclude this layer in the recipe"});
  }
}

// BF16 would be nearer to the checkpoint, but LightX2V takes its bytes for U8.
DType float_dtype(const std::string& name, const Shape& shape) {
  const bool exact = shape.size() == 1 || shape.size() > kPlainRank || element_count(shape) <= kSmall ||
                     name.find(".modulation") != std::string::npos ||
                     name.find(".attn_rel_b.") != std::string::npos;
  return exact ? DType::kF32 : DType::kF16;
}

// The name in the file: that of llama.cpp for a text encoder, the official one for a transformer.
std::string name_in_file(const std::string& official, const FormatJob& job) {
  if (job.part != ModelPart::kTextEncoder) return official;
  const auto name = umt5_name_in(Umt5Naming::kGguf, official);
  CHECK(name.has_value());
  return *name;
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  std::vector<OutTensor> out;
  if (layer.quantized()) {
    const GgufType& type = *find_gguf_type(layer.scheme.weight);
    out.push_back({.name = name_in_file(layer.name + ".weight", job),
                   .dtype = DType::kU8,
                   .shape = {layer.shape[0], layer.shape[1] / type.elements * type.bytes},
                   .type = std::string(type.name)});
    if (layer.has_bias)
      out.push_back({.name = layer.name + ".bias", .dtype = DType::kF32, .shape = {layer.shape[0]}});
    return out;
  }
  for (const std::string& name : layer.tensors()) {
    const bool bias = layer.linear && name.ends_with(".bias");
    const Shape shape = bias ? Shape{layer.shape[0]} : layer.shape;
    const std::string stored = name_in_file(name, job);
    out.push_back({.name = stored, .dtype = float_dtype(stored, shape), .shape = shape});
  }
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob&) {
  std::vector<Encoded> out;
  out.push_back(borrow(q.weight));
  if (layer.has_bias) out.push_back(borrow(q.bias));
  return out;
}

// The type with the most weights, which names the file and its file_type.
struct MainType {
  std::string name = "F16";
  bool mixed = false;
};
MainType main_type(const FormatJob& job) {
  std::map<std::string_view, int64_t> weights;
  for (const LayerPlan& layer : job.layers) {
    if (layer.quantized()) weights[find_gguf_type(layer.scheme.weight)->name] += element_count(layer.shape);
  }
  if (weights.empty()) return {};
  const auto most = std::max_element(weights.begin(), weights.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return {.name = std::string(most->first), .mixed = weights.size() > 1};
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  std::vector<GgufTensor> entries;
  for (const OutTensor& t : tensors) {
    GgufTensor entry{.name = t.name, .type = find_gguf_type(t.dtype), .shape = t.shape};
    if (!t.type.empty()) {
      entry.type = find_gguf_type(t.type);
      entry.shape.back() = t.shape.back() / entry.type->bytes * entry.type->elements;
    }
    entries.push_back(std::move(entry));
  }
  const MainType type = main_type(job);
  const auto* row = std::find_if(std::begin(kFileTypes), std::end(kFileTypes),
                                 [&](const FileType& f) { return f.type == type.name; });
  CHECK(row != std::end(kFileTypes));
  const bool text = job.part == ModelPart::kTextEncoder;
  std::vector<std::pair<std::string, GgufValue>> metadata = {
      {"general.architecture", std::string(text ? kGgufTextEncoder : kGgufTransformer)},
      {"general.quantization_version", kQuantizationVersion},
      {"general.file_type", row->id}};
  if (text) {
    for (auto& pair : text_encoder_metadata(job)) metadata.push_back(std::move(pair));
  }
  GgufLayout gguf = layout_gguf(std::move(entries), metadata);
  FileLayout file{.name = fmt::format("{}-{}{}.gguf", model_name(job), type.name, type.mixed ? "-mixed" : ""),
                  .head = std::move(gguf.head),
                  .places = {},
                  .file_bytes = gguf.file_bytes};
  for (GgufTensor& t : gguf.tensors)
    file.places.push_back({.name = std::move(t.name), .offset = t.offset, .bytes = t.bytes});
  return {std::move(file)};
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>&, const FormatJob&) {
  return {};
}

}  // namespace

Format gguf_format() {
  return {.name = "gguf",
          .summary = "GGUF for ComfyUI-GGUF, LightX2V and stable-diffusion.cpp",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes_gguf,
          .verify = verify_gguf,
          .read = read_gguf,
          .parts = {ModelPart::kTransformer, ModelPart::kTextEncoder},
          .carries_vocabulary = true,
          .copies = {".json", ".py"}};
}

}  // namespace wanslim
