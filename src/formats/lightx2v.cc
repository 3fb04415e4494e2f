// SPDX-License-Identifier: Apache-2.0
#include "formats/lightx2v.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "formats/model_checks.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

constexpr char kLayout[] = "layout", kBlocks[] = "blocks", kKernel[] = "kernel", kNpu[] = "npu";

const LightX2vPart& part_of(const FormatJob& job) {
  const auto parts = lightx2v_parts();
  return *std::find_if(parts.begin(), parts.end(), [&](const LightX2vPart& p) { return p.part == job.part; });
}

bool is_int8(const FormatJob& job) {
  return std::any_of(job.layers.begin(), job.layers.end(),
                     [](const LayerPlan& layer) { return layer.scheme.weight == Encoding::kInt8; });
}

// The kernel that was asked for, else the first one that the part has.
std::string_view kernel_of(const FormatJob& job) {
  const auto given = job.options.find(kKernel);
  if (given != job.options.end()) return given->second;
  const LightX2vPart& part = part_of(job);
  return is_int8(job) ? part.int8.front() : part.fp8.front();
}

void check_encoder(const FormatJob& job) {
  const LightX2vPart& part = part_of(job);
  const std::vector<std::string_view>& kernels = is_int8(job) ? part.int8 : part.fp8;
  const auto refuse = [](std::string what, std::string where, std::string hint) {
    throw usage_error(std::move(what), std::move(where), std::move(hint));
  };
  if (job.chosen(kLayout, kBlocks))
    refuse("LightX2V loads its encoders from one file", "--format_option layout=blocks", "leave it out");
  if (std::find(kernels.begin(), kernels.end(), kernel_of(job)) == kernels.end())
    refuse(fmt::format("LightX2V has no such kernel for {} in its {}", is_int8(job) ? "int8" : "FP8",
                       name_of(job.part)),
           fmt::format("--format_option kernel={}", kernel_of(job)),
           fmt::format("it has {}", fmt::join(kernels, ", ")));
}

bool supports(const QuantScheme& s, std::string* why) {
  const auto refuse = [&](const char* reason) {
    if (why) *why = reason;
    return false;
  };
  const bool eight = s.weight == Encoding::kInt8 || s.weight == Encoding::kFp8E4M3;
  if (eight && s.activation == Encoding::kFloat)
    return refuse("LightX2V quantizes the inputs of int8 and FP8 layers too, one scale a token");
  if (s.weight == Encoding::kFp8E4M3 && s.weight_granularity == Granularity::kTensor)
    return refuse("LightX2V's fp8-pertensor needs a scale of the inputs from calibration");
  if (eight && s.weight_granularity == Granularity::kChannel && s.activation == s.weight &&
      s.activation_granularity == Granularity::kToken)
    return true;
  switch (s.weight) {
    case Encoding::kNvFp4:
      return refuse("LightX2V's nvfp4 needs a scale of the inputs from calibration");
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
      return refuse(
          "LightX2V keeps MX scales in an order of its CUDA kernel's own, which is not written here");
    case Encoding::kInt4:
      return refuse("LightX2V has int4 only as packed for the Marlin kernel, which is not written here");
    default:
      return refuse("LightX2V's int8 and FP8 have one scale a channel and inputs of the same type");
  }
}

void check(const FormatJob& job) {
  check_all_linears(job, "LightX2V");
  if (job.part != ModelPart::kTransformer) check_encoder(job);
  for (const LayerPlan& layer : job.layers) {
    if (layer.scheme.weight != Encoding::kFp8E4M3 || !job.chosen(kKernel, kNpu)) continue;
    throw Error({.what = "LightX2V runs FP8 on no NPU",
                 .where = "--format_option kernel=npu",
                 .hint = "use --quant_type w8a8",
                 .kind = Error::Kind::kUsage});
  }
}

// What its loader may keep in F32 (SENSITIVE_LAYER_DTYPE).
bool is_sensitive(std::string_view name) {
  constexpr std::array<std::string_view, 8> kParts = {"norm",        "embedding",      "modulation",
                                                      "time",        "img_emb.proj.0", "img_emb.proj.4",
                                                      "before_proj", "after_proj"};
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  std::vector<OutTensor> out;
  const auto add = [&](const std::string& name, DType dtype, Shape shape) {
    out.push_back({.name = name, .dtype = dtype, .shape = std::move(shape)});
  };
  const bool encoder = job.part != ModelPart::kTransformer;
  if (!layer.quantized()) {
    for (const std::string& name : layer.tensors()) {
      const bool bias = layer.linear && name.ends_with(".bias");
      if (encoder) {
        add(name, layer.dtype, layer.shape);
        continue;
      }
      // Lazy loading takes dtypes as they are and multiplies in bf16.
      const bool wide = is_sensitive(name) && !job.chosen(kLayout, kBlocks) &&
                        (bias ? layer.bias_dtype : layer.dtype) == DType::kF32;
      add(name, wide ? DType::kF32 : DType::kBF16, bias ? Shape{layer.shape[0]} : layer.shape);
    }
    return out;
  }
  add(layer.name + ".weight", layer.scheme.weight == Encoding::kInt8 ? DType::kI8 : DType::kF8E4M3,
      layer.shape);
  add(layer.name + ".weight_scale", DType::kF32, {layer.shape[0], 1});
  if (layer.has_bias) add(layer.name + ".bias", encoder ? layer.bias_dtype : DType::kBF16, {layer.shape[0]});
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob& job) {
  std::vector<Encoded> out;
  out.push_back(borrow(q.weight));
  out.push_back(borrow(q.scale));
  // The loader of an encoder makes of it what it wants; F16 of CLIP would lose by BF16.
  const DType dtype = job.part == ModelPart::kTransformer ? DType::kBF16 : layer.bias_dtype;
  if (layer.has_bias) out.push_back(own(narrowed(q.bias, dtype)));
  return out;
}

std::string single_name(const FormatJob& job) {
  return model_file_name(job, is_int8(job) ? "lightx2v-int8" : "lightx2v-fp8", ".safetensors");
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& given, const FormatJob& job) {
  if (!job.chosen(kLayout, kBlocks)) return {safetensors_file(single_name(job), given)};
  std::vector<OutTensor> tensors = given;
  std::vector<std::string> files;
  for (OutTensor& t : tensors) {
    const std::string name = lightx2v_file(t.name);
    const auto found = std::find(files.begin(), files.end(), name);
    t.file = static_cast<size_t>(found - files.begin());
    if (found == files.end()) files.push_back(name);
  }
  std::vector<FileLayout> out;
  for (size_t f = 0; f < files.size(); ++f) out.push_back(safetensors_file(files[f], tensors, f));
  return out;
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>&, const FormatJob& job) {
  const std::string key(part_of(job).key);
  const std::string scheme = fmt::format("{}-{}", is_int8(job) ? "int8" : "fp8", kernel_of(job));
  const Json config = {{key + "_quantized", true},
                       {key + "_quant_scheme", scheme},
                       {key + "_quantized_ckpt", job.chosen(kLayout, kBlocks) ? "." : single_name(job)}};
  return {{.name = std::string(kLightX2vConfig), .text = config.dump(4) + "\n"}};
}

}  // namespace

std::span<const LightX2vPart> lightx2v_parts() {
  static const LightX2vPart kParts[] = {
      {ModelPart::kTransformer,
       "dit",
       {"vllm", "sgl", "q8f", "torchao", "triton", "npu", "tmo", "iluvatar", "vllm-hygon-dcu"},
       {"vllm", "sgl", "q8f", "torchao", "triton", "intel-xpu"}},
      {ModelPart::kTextEncoder, "t5", {"vllm", "q8f", "torchao", "tmo"}, {"sgl", "q8f"}},
      {ModelPart::kImageEncoder, "clip", {"vllm", "q8f", "torchao", "tmo"}, {"sgl", "vllm", "q8f"}},
  };
  return kParts;
}

std::string lightx2v_file(std::string_view name) {
  for (const std::string_view list : {"blocks.", "vace_blocks."}) {
    if (!name.starts_with(list)) continue;
    const std::string_view rest = name.substr(list.size());
    return fmt::format("block_{}.safetensors", rest.substr(0, rest.find('.')));
  }
  return std::string(kNonBlock);
}

Format lightx2v_format() {
  return {.name = "lightx2v",
          .summary = "LightX2V",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes_lightx2v,
          .verify = verify_lightx2v,
          .read = read_lightx2v,
          .options = {{.name = kLayout,
                       .choices = {"single", kBlocks},
                       .help = "blocks: one file a block, for lazy loading"},
                      {.name = kKernel,
                       .choices = {"vllm", "sgl", "q8f", "torchao", "triton", kNpu},
                       .help = "what lightx2v_config.json names; the weights are the same"}},
          .parts = {ModelPart::kTransformer, ModelPart::kTextEncoder, ModelPart::kImageEncoder},
          .needs_all_linears = true,
          .keeps_float = {"*before_proj", "*after_proj"}};
}

}  // namespace wanslim
