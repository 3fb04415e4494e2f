// SPDX-License-Identifier: Apache-2.0
#include "formats/vllm.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "config/wan_names.h"
#include "formats/diffusers.h"
#include "formats/model_checks.h"

namespace wanslim {

std::string fused_unit(std::string_view layer) {
  const auto place = parse_block_path(layer);
  if (!place) return {};
  if (place->rest != "self_attn.q" && place->rest != "self_attn.k" && place->rest != "self_attn.v") return {};
  return fmt::format("{}.{}", place->list, place->index);
}

void check_vllm_layers(const FormatJob& job, std::string_view runtime) {
  std::map<std::string, const LayerPlan*> first;
  for (const LayerPlan& layer : job.layers) {
    if (layer.quantized() && !is_core_linear(layer)) {
      throw Error({.what = fmt::format("{} runs this layer in float", runtime),
                   .where = layer.name,
                   .hint = "exclude it in the recipe, or use --quant_type"});
    }
    const std::string unit = fused_unit(layer.name);
    if (unit.empty()) continue;
    const LayerPlan* other = first.emplace(unit, &layer).first->second;
    if (other->scheme == layer.scheme) continue;
    throw Error(
        {.what = fmt::format("{} runs self_attn.q, .k and .v as one Linear, and {} has another scheme",
                             runtime, other->name),
         .where = layer.name,
         .hint = "take all three or none in the same entry of the recipe"});
  }
}

std::string vllm_omni_module(std::string_view diffusers) {
  std::string out(diffusers);
  const auto replace = [&](std::string_view ending, std::string_view by) {
    if (out.ends_with(ending)) out = out.substr(0, out.size() - ending.size()) + std::string(by);
  };
  replace(".ffn.net.0.proj", ".ffn.net_0.proj");
  replace(".ffn.net.2", ".ffn.net_2");
  replace(".to_out.0", ".to_out");
  return out;
}

void add_vllm_module(const std::string& diffusers, std::vector<std::string>& to) {
  to.push_back(diffusers);
  if (std::string module = vllm_omni_module(diffusers); module != diffusers) to.push_back(std::move(module));
}

}  // namespace wanslim
