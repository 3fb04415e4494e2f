// SPDX-License-Identifier: Apache-2.0
#include "formats/comfyui.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "formats/model_checks.h"
#include "formats/pack.h"
#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

constexpr char kMarkers[] = "markers", kOldMarkers[] = "scaled_fp8";

bool supports(const QuantScheme& s, std::string* why) {
  const auto refuse = [&](const char* reason) {
    if (why) *why = reason;
    return false;
  };
  const bool weight_only = s.activation == Encoding::kFloat;
  switch (s.weight) {
    case Encoding::kInt8:
      if (s.weight_granularity != Granularity::kChannel && s.weight_granularity != Granularity::kTensor)
        return refuse("ComfyUI's int8_tensorwise has one scale a channel or a tensor, no groups");
      if (!weight_only &&
          (s.activation != Encoding::kInt8 || s.activation_granularity != Granularity::kToken))
        return refuse("ComfyUI's int8_tensorwise scales int8 activations per token");
      return true;
    case Encoding::kFp8E4M3:
      if (s.weight_granularity != Granularity::kTensor)
        return refuse(
            "ComfyUI's float8_e4m3fn has one scale a tensor (scope per_tensor, practice fp8_scaled)");
      return weight_only || refuse(
                                "ComfyUI casts the inputs to FP8 with a scale of 1, not one per token: use "
                                "float activations "
                                "(practice fp8_scaled)");
    case Encoding::kMxFp8:
      return weight_only || s.activation == Encoding::kMxFp8 ||
             refuse("ComfyUI's mxfp8 has mxfp8 or float activations");
    case Encoding::kNvFp4:
      return weight_only || s.activation == Encoding::kNvFp4 ||
             refuse("ComfyUI's nvfp4 has nvfp4 or float activations");
    case Encoding::kMxFp4:
      return refuse("ComfyUI has no MXFP4");
    case Encoding::kInt4:
      return refuse("ComfyUI has no plain int4: its int4 formats rotate the inputs");
    default:
      return refuse(is_ggml(s.weight) ? "ComfyUI loads GGUF types from GGUF files alone: use --format gguf"
                                      : "ComfyUI has no format for it");
  }
}

bool is_power_of_4(int value) {
  while (value > 4 && value % 4 == 0) value /= 4;
  return value == 4;
}

void check(const FormatJob& job) {
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    const auto refuse = [&](std::string what) {
      return Error(
          {.what = std::move(what), .where = layer.name, .hint = "exclude this layer in the recipe"});
    };
    const std::string_view format = comfy_format_of(layer.scheme);
    const int64_t unit = format == "mxfp8" ? 32 : format == "nvfp4" ? 16 : 1;
    if (layer.shape[0] % unit != 0 || layer.shape[1] % unit != 0) {
      throw refuse(fmt::format("ComfyUI's {} wants a weight whose sides are multiples of {}, and this is {}",
                               format, unit, to_string(layer.shape)));
    }
    if (layer.hadamard_group > 0 &&
        (format != "int8_tensorwise" || layer.scheme.weight_granularity != Granularity::kChannel ||
         !is_power_of_4(layer.hadamard_group))) {
      throw refuse(
          "ComfyUI rotates the inputs of int8_tensorwise alone, one scale a channel, in groups of a power of "
          "4");
    }
    if (job.chosen(kMarkers, kOldMarkers) && format != "float8_e4m3fn")
      throw Error({.what = fmt::format("markers=scaled_fp8 is for FP8, and this is {}", format),
                   .where = layer.name,
                   .hint = "use --quant_type fp8_scaled, or leave the option out"});
  }
}

std::string mark_of(const LayerPlan& layer) {
  std::string mark = fmt::format("{{\"format\": \"{}\"", comfy_format_of(layer.scheme));
  if (layer.hadamard_group > 0)
    mark += fmt::format(", \"convrot\": true, \"convrot_groupsize\": {}", layer.hadamard_group);
  if (layer.scheme.activation == Encoding::kFloat) mark += ", \"full_precision_matrix_mult\": true";
  return mark + "}";
}

Tensor bytes_of(std::string_view text) {
  Tensor out(DType::kU8, {static_cast<int64_t>(text.size())});
  std::memcpy(out.raw().data(), text.data(), text.size());
  return out;
}

// The tensor that marks the whole file goes with the first quantized layer.
bool is_first_quantized(const LayerPlan& layer, const FormatJob& job) {
  for (const LayerPlan& other : job.layers) {
    if (other.quantized()) return other.name == layer.name;
  }
  return false;
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  std::string what;
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    const std::string_view format = comfy_format_of(layer.scheme);
    const std::string_view name = format == "float8_e4m3fn" ? "fp8_scaled" : format;
    what = what.empty() || what == name ? std::string(name) : "mixed";
  }
  return {safetensors_file(model_file_name(job, what, ".safetensors"), tensors)};
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>&, const FormatJob&) {
  return {};
}

}  // namespace

std::string_view comfy_format_of(const QuantScheme& scheme) {
  switch (scheme.weight) {
    case Encoding::kInt8:
      return "int8_tensorwise";
    case Encoding::kFp8E4M3:
      return "float8_e4m3fn";
    case Encoding::kMxFp8:
      return "mxfp8";
    case Encoding::kNvFp4:
      return "nvfp4";
    default:
      return "";
  }
}

std::vector<OutTensor> comfyui_plan(const LayerPlan& layer, const FormatJob& job) {
  if (!layer.quantized()) return float_tensors(layer);
  const int64_t rows = layer.shape[0], columns = layer.shape[1];
  const std::string& p = layer.name;
  const Shape per_channel =
      layer.scheme.weight_granularity == Granularity::kTensor ? Shape{} : Shape{rows, 1};
  std::vector<OutTensor> out;
  const auto add = [&](const std::string& name, DType dtype, Shape shape) {
    out.push_back({.name = name, .dtype = dtype, .shape = std::move(shape)});
  };
  switch (layer.scheme.weight) {
    case Encoding::kInt8:
      add(p + ".weight", DType::kI8, layer.shape);
      add(p + ".weight_scale", DType::kF32, per_channel);
      break;
    case Encoding::kFp8E4M3:
      add(p + ".weight", DType::kF8E4M3, layer.shape);
      add(p + (job.chosen(kMarkers, kOldMarkers) ? ".scale_weight" : ".weight_scale"), DType::kF32, {});
      break;
    case Encoding::kMxFp8:
      add(p + ".weight", DType::kF8E4M3, layer.shape);
      add(p + ".weight_scale", DType::kU8, blocked_shape(rows, columns / 32));
      break;
    default:
      add(p + ".weight", DType::kU8, {rows, columns / 2});
      add(p + ".weight_scale", DType::kF8E4M3, blocked_shape(rows, columns / 16));
      add(p + ".weight_scale_2", DType::kF32, {});
  }
  if (!job.chosen(kMarkers, kOldMarkers)) {
    add(p + ".comfy_quant", DType::kU8, {static_cast<int64_t>(mark_of(layer).size())});
  } else if (is_first_quantized(layer, job)) {
    add("scaled_fp8", DType::kF8E4M3, {2});
  }
  if (layer.has_bias) add(p + ".bias", DType::kF32, {rows});
  return out;
}

std::vector<Encoded> comfyui_encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob& job) {
  CHECK(q.hadamard_group == layer.hadamard_group);
  std::vector<Encoded> out;
  switch (layer.scheme.weight) {
    case Encoding::kMxFp8:
      out.push_back(borrow(q.weight));
      out.push_back(own(to_blocked(q.scale)));
      break;
    case Encoding::kNvFp4:
      out.push_back(own(swap_nibbles(q.weight)));
      out.push_back(own(to_blocked(q.scale)));
      out.push_back(borrow(q.dual_scale));
      break;
    default:
      out.push_back(borrow(q.weight));
      out.push_back(borrow(q.scale));
  }
  if (!job.chosen(kMarkers, kOldMarkers)) {
    out.push_back(own(bytes_of(mark_of(layer))));
  } else if (is_first_quantized(layer, job)) {
    Tensor zeros(DType::kF8E4M3, {2});
    std::memset(zeros.raw().data(), 0, 2);
    out.push_back(own(std::move(zeros)));
  }
  if (layer.has_bias) out.push_back(borrow(q.bias));
  return out;
}

Format comfyui_format() {
  return {.name = "comfyui",
          .summary = "ComfyUI",
          .supports = supports,
          .check = check,
          .plan = comfyui_plan,
          .encode = comfyui_encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes_comfyui,
          .verify = verify_comfyui,
          .read = read_comfyui,
          .options = {{.name = kMarkers,
                       .choices = {"comfy_quant", kOldMarkers},
                       .help = "scaled_fp8: FP8 as ComfyUI read it before comfy_quant"}},
          .rotates = true};
}

}  // namespace wanslim
