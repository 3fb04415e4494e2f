// SPDX-License-Identifier: Apache-2.0
#include "formats/vllm_omni.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "config/wan_names.h"
#include "formats/diffusers.h"
#include "formats/file_source.h"
#include "formats/loader_checks.h"
#include "formats/model_checks.h"
#include "formats/pack.h"
#include "formats/vllm.h"

namespace wanslim {
namespace {

constexpr char kMethod[] = "int8", kIgnored[] = "ignored_layers", kRuntime[] = "vllm-omni";
const QuantScheme kScheme = {
    .weight = Encoding::kInt8, .activation = Encoding::kInt8, .activation_granularity = Granularity::kToken};

bool supports(const QuantScheme& s, std::string* why) {
  if (s == kScheme) return true;
  if (!why) return false;
  const bool int8 = s.weight == Encoding::kInt8 && s.activation == Encoding::kFloat;
  *why = int8 ? "vllm-omni's int8 quantizes the inputs too, one scale a token"
              : "vllm-omni's int8 is W8A8 per channel and token alone";
  return false;
}

void check(const FormatJob& job) {
  check_vllm_layers(job, kRuntime);
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob&) {
  if (!layer.quantized()) return diffusers_float_tensors(layer);
  const std::string name = diffusers_name(layer.name);
  std::vector<OutTensor> out = {
      {.name = name + ".weight", .dtype = DType::kI8, .shape = layer.shape},
      {.name = name + ".weight_scale", .dtype = DType::kF32, .shape = {layer.shape[0], 1}}};
  if (layer.has_bias)
    out.push_back({.name = name + ".bias", .dtype = DType::kBF16, .shape = {layer.shape[0]}});
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob&) {
  std::vector<Encoded> out;
  out.push_back(borrow(q.weight));
  out.push_back(borrow(q.scale));
  if (layer.has_bias) out.push_back(own(narrowed(q.bias)));
  return out;
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  std::vector<std::string> ignored;
  for (const LayerPlan& layer : job.layers) {
    if (layer.linear && !layer.quantized()) add_vllm_module(diffusers_name(layer.name), ignored);
  }
  return diffusers_sidecars(tensors, job,
                            {{"quant_method", kMethod},
                             {"is_checkpoint_int8_serialized", true},
                             {"activation_scheme", "dynamic"},
                             {kIgnored, ignored}});
}

bool recognizes(const Path& path) {
  return has_quant_method(path, kMethod);
}

std::set<std::string> ignored_layers(const DiffusersFolder& folder) {
  std::set<std::string> out;
  const auto list = folder.quantization.find(kIgnored);
  if (list == folder.quantization.end() || list->is_null()) return out;
  const bool names =
      list->is_array() && std::ranges::all_of(*list, [](const Json& name) { return name.is_string(); });
  if (!names) throw Error({.what = "\"ignored_layers\" is no list of names", .where = folder.where});
  for (const Json& name : *list) out.insert(name.get<std::string>());
  return out;
}

void check_config(const DiffusersFolder& folder, VerifyReport& report) {
  const Json& q = folder.quantization;
  if (json_string(q, "quant_method", folder.where) != kMethod)
    report.problems.emplace_back("\"quant_method\" is not int8");
  const auto activation = q.find("activation_scheme");
  if (activation != q.end() && *activation != "dynamic")
    report.problems.emplace_back("\"activation_scheme\" is not dynamic, the only one that vllm-omni runs");
}

// Every Linear of the blocks that the config does not name is made an int8 module, whose parameters take what
// the file has: a float weight would be cut down to int8 without a word.
void check_linear(const DiffusersFolder& folder, const std::set<std::string>& ignored,
                  const std::string& layer, VerifyReport& report) {
  const std::string name = diffusers_name(layer);
  const StoredTensor* weight = folder.file.find(name + ".weight");
  if (!weight || weight->shape.size() != 2) {
    report.problems.push_back(name + ".weight is no matrix");
    return;
  }
  const bool skipped = ignored.count(vllm_omni_module(name)) > 0;
  if (skipped != (weight->dtype != DType::kI8)) {
    report.problems.push_back(fmt::format("{} is {}, and \"ignored_layers\" {} {}", name,
                                          weight->dtype == DType::kI8 ? "int8" : "float",
                                          skipped ? "names" : "does not name", vllm_omni_module(name)));
    return;
  }
  if (skipped) return;
  const StoredTensor* scale =
      expect_tensor(folder.file, name + ".weight_scale", DType::kF32, {weight->shape[0], 1}, report);
  if (scale) check_scales(folder.file, *scale, report);
  const StoredTensor* bias = folder.file.find(name + ".bias");
  if (bias && bias->shape != Shape{weight->shape[0]})
    report.problems.push_back(fmt::format("{} is {}", bias->name, to_string(bias->shape)));
}

VerifyReport verify(const Path& path) {
  VerifyReport report;
  const DiffusersFolder folder = open_diffusers(path);
  check_config(folder, report);
  const std::set<std::string> ignored = ignored_layers(folder);
  const std::set<std::string> layers = core_linears(folder.official);
  for (const std::string& layer : layers) check_linear(folder, ignored, layer, report);
  std::map<std::string, std::set<DType>> fused;
  for (const StoredTensor& t : folder.file.tensors()) {
    const auto name = official_name(Naming::kDiffusers, t.name);
    if (!name || !name->ends_with(".weight")) continue;
    const std::string layer = name->substr(0, name->size() - 7);
    if (t.dtype == DType::kI8 && !layers.count(layer))
      report.problems.push_back(t.name + " is int8, and vllm-omni runs this layer in float");
    if (const std::string unit = fused_unit(layer); !unit.empty()) fused[unit + ".attn1"].insert(t.dtype);
  }
  for (const auto& [unit, dtypes] : fused) {
    if (dtypes.size() > 1)
      report.problems.push_back(unit + ": to_q, to_k and to_v run as one Linear and differ in dtype");
  }
  check_diffusers(folder, report);
  report.checked.push_back(
      fmt::format("{} Linears of the blocks: int8 or in \"ignored_layers\", shapes, scales", layers.size()));
  return report;
}

std::optional<QuantizedLinear> load_linear(const FileSource& source, const std::string& layer) {
  const StoredTensor* weight = source.find(layer + ".weight");
  if (!weight || weight->dtype != DType::kI8) return std::nullopt;
  QuantizedLinear q;
  q.scheme = kScheme;
  q.weight = source.load(layer + ".weight");
  q.scale = source.load_as(layer + ".weight_scale", DType::kF32, 2);
  return q;
}

std::unique_ptr<WeightSource> read(const Path& path) {
  return std::make_unique<FileSource>(Checkpoint::open(path), load_linear, diffusers_name);
}

}  // namespace

Format vllm_omni_format() {
  return {.name = kRuntime,
          .summary = kRuntime,
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = diffusers_layout,
          .sidecars = sidecars,
          .recognizes = recognizes,
          .verify = verify,
          .read = read,
          .shards = true,
          .keeps_float = {"*before_proj", "*after_proj"}};
}

}  // namespace wanslim
