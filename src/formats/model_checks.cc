// SPDX-License-Identifier: Apache-2.0
#include "formats/model_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr std::string_view kOutside[] = {
    "patch_embedding.weight",  "patch_embedding.bias",     "text_embedding.0.weight",
    "text_embedding.0.bias",   "text_embedding.2.weight",  "text_embedding.2.bias",
    "time_embedding.0.weight", "time_embedding.0.bias",    "time_embedding.2.weight",
    "time_embedding.2.bias",   "time_projection.1.weight", "time_projection.1.bias",
    "head.modulation",         "head.head.weight",         "head.head.bias"};

constexpr std::string_view kInBlock[] = {
    "modulation",          "self_attn.q.weight",       "self_attn.k.weight",       "self_attn.v.weight",
    "self_attn.o.weight",  "self_attn.norm_q.weight",  "self_attn.norm_k.weight",  "norm3.weight",
    "norm3.bias",          "cross_attn.q.weight",      "cross_attn.k.weight",      "cross_attn.v.weight",
    "cross_attn.o.weight", "cross_attn.norm_q.weight", "cross_attn.norm_k.weight", "ffn.0.weight",
    "ffn.2.weight"};

// "blocks" or "vace_blocks", the number, and what follows; number -1 outside of blocks.
struct BlockPlace {
  std::string list;
  int64_t block = -1;
  std::string rest;
};

BlockPlace place_of(const std::string& name) {
  for (const std::string list : {"blocks", "vace_blocks"}) {
    if (!name.starts_with(list + ".")) continue;
    const size_t begin = list.size() + 1;
    const size_t end = name.find('.', begin);
    const std::string digits = name.substr(begin, end - begin);
    const bool number =
        !digits.empty() && digits.size() < 7 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (end == std::string::npos || !number) return {};
    return {.list = list, .block = std::stoll(digits), .rest = name.substr(end + 1)};
  }
  return {};
}

bool is_parameter(std::string_view rest) {
  return rest.ends_with(".weight") || rest.ends_with(".bias") || rest == "modulation";
}

// before_proj and after_proj of VACE join its blocks to the others.
bool joins_blocks(std::string_view rest) {
  return rest.starts_with("before_proj") || rest.starts_with("after_proj");
}

}  // namespace

bool is_norm_or_modulation(std::string_view name) {
  return name.find(".norm") != std::string_view::npos || name.ends_with("modulation") ||
         name.starts_with("img_emb.proj.0.") || name.starts_with("img_emb.proj.4.");
}

std::vector<OutTensor> float_tensors(const LayerPlan& layer) {
  std::vector<OutTensor> out;
  for (const std::string& name : layer.tensors()) {
    const bool bias = layer.linear && name.ends_with(".bias");
    out.push_back({.name = name,
                   .dtype = is_norm_or_modulation(name) ? DType::kF32 : DType::kBF16,
                   .shape = bias ? Shape{layer.shape[0]} : layer.shape});
  }
  return out;
}

void check_whole_model(const std::set<std::string>& names, VerifyReport& report) {
  const auto need = [&](const std::string& name) {
    if (!names.count(name)) report.problems.push_back(name + " is missing");
  };
  for (const std::string_view name : kOutside) need(std::string(name));
  std::map<std::string, std::set<int64_t>> blocks = {{"blocks", {0}}};
  std::map<std::string, std::set<std::string>> wanted;
  for (const std::string_view rest : kInBlock) wanted["blocks"].emplace(rest);
  for (const std::string& name : names) {
    const BlockPlace place = place_of(name);
    if (place.block < 0) continue;
    blocks[place.list].insert(place.block);
    if (is_parameter(place.rest) && !joins_blocks(place.rest)) wanted[place.list].insert(place.rest);
  }
  for (const auto& [list, numbers] : blocks) {
    if (*numbers.rbegin() + 1 != static_cast<int64_t>(numbers.size()))
      report.problems.push_back(fmt::format("{} has {} blocks, the last of which is {}.{}", list,
                                            numbers.size(), list, *numbers.rbegin()));
    for (const int64_t block : numbers) {
      for (const std::string& rest : wanted[list]) need(fmt::format("{}.{}.{}", list, block, rest));
    }
  }
}

bool is_core_linear(const LayerPlan& layer) {
  return layer.linear && layer.block >= 0 && !joins_blocks(place_of(layer.name).rest);
}

void check_all_linears(const FormatJob& job, std::string_view runtime) {
  const LayerPlan* first = nullptr;
  for (const LayerPlan& layer : job.layers) {
    const auto refuse = [&](std::string what) {
      return Error({.what = fmt::format("{} {}", runtime, what),
                    .where = layer.name,
                    .hint = "change include and exclude of the recipe, or use --quant_type"});
    };
    if (!is_core_linear(layer)) {
      if (layer.quantized()) throw refuse("runs this layer in float");
      continue;
    }
    if (!layer.quantized())
      throw refuse("wants every Linear of the blocks quantized, and this one stays float");
    if (!first) first = &layer;
    if (layer.scheme != first->scheme)
      throw refuse(fmt::format("wants one scheme for all, and {} has another", first->name));
  }
}

std::set<std::string> core_linears(const std::set<std::string>& names) {
  std::set<std::string> out;
  for (const std::string& name : names) {
    const BlockPlace place = place_of(name);
    if (place.block < 0 || joins_blocks(place.rest) || !place.rest.ends_with(".weight") ||
        place.rest.find("norm") != std::string::npos)
      continue;
    out.insert(name.substr(0, name.size() - 7));
  }
  return out;
}

std::string model_name(const FormatJob& job) {
  return job.encoder.empty() ? "wan2.1-" + variant_name(job.geometry) : job.encoder;
}

std::string model_file_name(const FormatJob& job, std::string_view what, std::string_view ending) {
  return fmt::format("{}-{}{}", model_name(job), what, ending);
}

}  // namespace wanslim
