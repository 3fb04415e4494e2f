// SPDX-License-Identifier: Apache-2.0
#include "formats/universal.h"

#include <fmt/format.h>

#include "base/error.h"
#include "formats/comfyui.h"
#include "formats/loader_checks.h"
#include "formats/model_checks.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

constexpr char kKey[] = "layout", kName[] = "universal-int8";

bool supports(const QuantScheme& s, std::string* why) {
  const QuantScheme only = {.weight = Encoding::kInt8,
                            .activation = Encoding::kInt8,
                            .activation_granularity = Granularity::kToken};
  if (s == only) return true;
  if (why)
    *why =
        "what ComfyUI, stable-diffusion.cpp and LightX2V have in common is W8A8 per channel and token alone";
  return false;
}

void check(const FormatJob& job) {
  check_all_linears(job, "LightX2V");
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  std::vector<OutTensor> out = comfyui_plan(layer, job);
  // LightX2V's lazy loading takes the bias as it is and adds it in bf16.
  if (layer.quantized() && layer.has_bias) out.back().dtype = DType::kBF16;
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob& job) {
  std::vector<Encoded> out = comfyui_encode(layer, q, job);
  if (layer.has_bias) out.back() = own(narrowed(q.bias));
  return out;
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  return {safetensors_file(model_file_name(job, kName, ".safetensors"), tensors, 0, {{kKey, kName}})};
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>&, const FormatJob&) {
  return {};
}

bool recognizes(const Path& path) {
  if (!has_comfy_marks(path)) return false;
  try {
    const ComfyFile f = open_comfyui(path);
    const auto found = f.file.metadata().find(kKey);
    return found != f.file.metadata().end() && found->second == kName;
  } catch (const Error&) {
    return false;
  }
}

VerifyReport verify(const Path& path) {
  VerifyReport report;
  const ComfyFile f = open_comfyui(path);
  check_comfyui(f, report);
  if (!f.prefix.empty()) report.problems.push_back("LightX2V does not take the prefix " + f.prefix + " off");
  std::set<std::string> names;
  for (const StoredTensor& t : f.file.tensors()) names.insert(t.name);
  for (const std::string& layer : core_linears(names)) {
    const auto mark = f.marks.find(layer);
    if (mark == f.marks.end()) {
      report.problems.push_back(layer +
                                " is float, and LightX2V runs all Linears of the blocks in one scheme");
      continue;
    }
    const ComfyMark& m = mark->second;
    if (m.format != "int8_tensorwise" || m.full_precision || m.convrot_group > 0)
      report.problems.push_back(layer + " is not plain int8 with int8 inputs, which all three run");
    const StoredTensor* scale = f.file.find(layer + ".weight_scale");
    const StoredTensor* weight = f.file.find(layer + ".weight");
    if (!scale || !weight || weight->shape.size() != 2) continue;  // named already
    if (expect_tensor(f.file, scale->name, DType::kF32, {weight->shape[0], 1}, report))
      check_bf16_scales(f.file, *scale, report);
  }
  for (const auto& [layer, mark] : f.marks) {
    if (!core_linears({layer + ".weight"}).count(layer))
      report.problems.push_back(layer + " is quantized, and LightX2V runs this layer in float");
  }
  report.checked.emplace_back("what LightX2V wants beyond it: all Linears of the blocks, bf16 scales");
  return report;
}

}  // namespace

Format universal_int8_format() {
  return {.name = kName,
          .summary = "ComfyUI, stable-diffusion.cpp and LightX2V",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes,
          .verify = verify,
          .read = read_comfyui,
          .needs_all_linears = true,
          .keeps_float = {"*before_proj", "*after_proj"}};
}

}  // namespace wanslim
