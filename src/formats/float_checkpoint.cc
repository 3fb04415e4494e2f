// SPDX-License-Identifier: Apache-2.0
#include "formats/float_checkpoint.h"

#include "formats/diffusers.h"
#include "formats/shards.h"

namespace wanslim {
namespace {

constexpr char kDType[] = "dtype", kF32[] = "f32", kF16[] = "f16";

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  CHECK(!layer.quantized());
  const DType dtype = job.chosen(kDType, kF32)   ? DType::kF32
                      : job.chosen(kDType, kF16) ? DType::kF16
                                                 : DType::kBF16;
  std::vector<OutTensor> out;
  for (const std::string& name : layer.tensors()) {
    const bool bias = layer.linear && name.ends_with(".bias");
    out.push_back({.name = name, .dtype = dtype, .shape = bias ? Shape{layer.shape[0]} : layer.shape});
  }
  return out;
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  std::vector<Sidecar> out = shard_index(std::string(kDiffusersStem), tensors, job.shard_bytes);
  out.push_back({.name = std::string(kDiffusersConfig), .text = config_json_text(job.geometry)});
  return out;
}

}  // namespace

const Format& float_checkpoint_format() {
  static const Format kFormat = {
      .name = "float",
      .summary = "whatever reads float checkpoints",
      .supports = nullptr,
      .check = [](const FormatJob&) {},
      .plan = plan,
      .encode = nullptr,
      .layout = diffusers_layout,
      .sidecars = sidecars,
      .recognizes = nullptr,
      .verify = nullptr,
      .read = nullptr,
      .options = {{.name = kDType, .choices = {"bf16", kF32, kF16}, .help = "of all tensors"}},
      .shards = true};
  return kFormat;
}

}  // namespace wanslim
