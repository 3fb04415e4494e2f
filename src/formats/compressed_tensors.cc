// SPDX-License-Identifier: Apache-2.0
#include "formats/compressed_tensors.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "formats/pack.h"
#include "formats/vllm.h"

namespace wanslim {
namespace {

constexpr char kMethod[] = "compressed-tensors";

// As the package tells them apart: by the type of the weights and by whether the inputs are quantized.
struct FormatRow {
  Encoding weight, activation;
  std::string_view format;
};
constexpr FormatRow kRows[] = {
    {Encoding::kInt8, Encoding::kInt8, "int-quantized"},
    {Encoding::kInt4, Encoding::kInt8, "int-quantized"},
    {Encoding::kInt8, Encoding::kFloat, "pack-quantized"},
    {Encoding::kInt4, Encoding::kFloat, "pack-quantized"},
    {Encoding::kFp8E4M3, Encoding::kFp8E4M3, "float-quantized"},
    {Encoding::kFp8E4M3, Encoding::kFloat, "naive-quantized"},
};

bool supports(const QuantScheme& s, std::string* why) {
  const bool token =
      s.activation == Encoding::kFloat || (s.activation_granularity == Granularity::kToken && s.symmetric);
  if (!ct_format(s).empty() && token) return true;
  if (!why) return false;
  switch (s.weight) {
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
    case Encoding::kNvFp4:
      *why =
          "compressed-tensors keeps MX and NVFP4 weights in layouts of their own, which are not written here";
      break;
    case Encoding::kInt4:
      *why = "no runtime of compressed-tensors multiplies int4 weights with int4 inputs";
      break;
    case Encoding::kInt8:
    case Encoding::kFp8E4M3:
      *why =
          "compressed-tensors' integers and FP8 take inputs of the same type with one scale a token, or "
          "float";
      break;
    default:
      *why = "compressed-tensors has no blocks of ggml: use --format gguf";
  }
  return false;
}

void check(const FormatJob& job) {
  check_vllm_layers(job, "vLLM");
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob&) {
  if (!layer.quantized()) return diffusers_float_tensors(layer);
  const std::string name = diffusers_name(layer.name);
  std::vector<OutTensor> out = ct_tensors(name, layer.scheme, layer.shape[0], layer.shape[1]);
  if (layer.has_bias)
    out.push_back({.name = name + ".bias", .dtype = DType::kBF16, .shape = {layer.shape[0]}});
  return out;
}

Tensor shape_tensor(const Tensor& codes) {
  Tensor out(DType::kI64, {2});
  out.as<int64_t>()[0] = codes.dim(0);
  out.as<int64_t>()[1] = codes.dim(1);
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob&) {
  std::vector<Encoded> out;
  if (ct_format(q.scheme) == "pack-quantized") {
    out.push_back(own(pack_into_int32(q.weight, static_cast<int>(ct_bits(q.scheme)))));
    out.push_back(own(shape_tensor(q.weight)));
  } else {
    out.push_back(borrow(q.weight));
  }
  out.push_back(borrow(q.scale));
  if (layer.has_bias) out.push_back(own(narrowed(q.bias)));
  return out;
}

// What stays float and has a weight: readers that go by tensor names take norms and convolutions for Linears.
std::vector<std::string> ignored(const FormatJob& job) {
  std::vector<std::string> out;
  for (const LayerPlan& layer : job.layers) {
    if (layer.quantized()) continue;
    if (layer.linear) add_vllm_module(diffusers_name(layer.name), out);
    if (!layer.linear && layer.name.ends_with(".weight"))
      out.push_back(diffusers_name(layer.name.substr(0, layer.name.size() - 7)));
  }
  return out;
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  std::vector<CtGroup> groups;
  std::vector<std::vector<std::string>> names;
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const CtGroup& g) { return g.scheme == layer.scheme; });
    const auto g = static_cast<size_t>(found - groups.begin());
    if (found == groups.end()) {
      groups.push_back({.scheme = layer.scheme});
      names.emplace_back();
    }
    add_vllm_module(diffusers_name(layer.name), names[g]);
  }
  Json config_groups = Json::object();
  std::set<std::string> kinds;
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].all = groups.size() == 1;
    kinds.emplace(ct_format(groups[g].scheme));
    Json json = ct_group_json(groups[g]);
    if (!groups[g].all) json["targets"] = names[g];
    config_groups[fmt::format("group_{}", g)] = std::move(json);
  }
  return diffusers_sidecars(tensors, job,
                            {{"quant_method", kMethod},
                             {"quantization_status", "compressed"},
                             {"format", kinds.size() == 1 ? *kinds.begin() : "mixed-precision"},
                             {"config_groups", std::move(config_groups)},
                             {"ignore", ignored(job)}});
}

bool recognizes(const Path& path) {
  return has_quant_method(path, kMethod);
}

std::string_view strategy_of(Granularity granularity) {
  return granularity == Granularity::kTensor  ? "tensor"
         : granularity == Granularity::kGroup ? "group"
                                              : "channel";
}

}  // namespace

std::string_view ct_format(const QuantScheme& s) {
  const bool fp8 = s.weight == Encoding::kFp8E4M3;
  const bool fits = s.weight_granularity == Granularity::kChannel ||
                    (fp8 ? s.weight_granularity == Granularity::kTensor
                         : s.weight_granularity == Granularity::kGroup && s.activation == Encoding::kFloat);
  if (!fits) return {};
  for (const FormatRow& row : kRows) {
    if (row.weight == s.weight && row.activation == s.activation) return row.format;
  }
  return {};
}

int64_t ct_bits(const QuantScheme& s) {
  return s.weight == Encoding::kInt4 ? 4 : 8;
}

Json ct_group_json(const CtGroup& group) {
  const QuantScheme& s = group.scheme;
  const char* type = s.weight == Encoding::kFp8E4M3 ? "float" : "int";
  Json weights = {{"num_bits", ct_bits(s)},
                  {"type", type},
                  {"symmetric", true},
                  {"strategy", strategy_of(s.weight_granularity)},
                  {"dynamic", false}};
  if (s.weight_granularity == Granularity::kGroup) weights["group_size"] = s.group;
  Json inputs;
  if (s.activation != Encoding::kFloat)
    inputs = {{"num_bits", 8}, {"type", type}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
  return {{"targets", Json::array({"Linear"})},
          {"weights", std::move(weights)},
          {"input_activations", std::move(inputs)},
          {"output_activations", nullptr},
          {"format", ct_format(s)}};
}

std::vector<OutTensor> ct_tensors(const std::string& name, const QuantScheme& s, int64_t out, int64_t in) {
  std::vector<OutTensor> tensors;
  if (ct_format(s) == "pack-quantized") {
    tensors.push_back(
        {.name = name + ".weight_packed", .dtype = DType::kI32, .shape = {out, (in * ct_bits(s) + 31) / 32}});
    tensors.push_back({.name = name + ".weight_shape", .dtype = DType::kI64, .shape = {2}});
  } else {
    const DType dtype = s.weight == Encoding::kFp8E4M3 ? DType::kF8E4M3 : DType::kI8;
    tensors.push_back({.name = name + ".weight", .dtype = dtype, .shape = {out, in}});
  }
  const Shape scale = s.weight_granularity == Granularity::kTensor  ? Shape{1}
                      : s.weight_granularity == Granularity::kGroup ? Shape{out, in / std::max(s.group, 1)}
                                                                    : Shape{out, 1};
  tensors.push_back({.name = name + ".weight_scale", .dtype = DType::kF32, .shape = scale});
  return tensors;
}

Format compressed_tensors_format() {
  return {.name = kMethod,
          .summary = "vLLM, compressed-tensors",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = diffusers_layout,
          .sidecars = sidecars,
          .recognizes = recognizes,
          .verify = verify_compressed_tensors,
          .read = read_compressed_tensors,
          .shards = true,
          .keeps_float = {"*before_proj", "*after_proj"}};
}

}  // namespace wanslim
