// SPDX-License-Identifier: Apache-2.0
#include "formats/mindie.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>

#include "base/error.h"
#include "formats/low_rank.h"
#include "formats/mindie_verify.h"

namespace wanslim {
namespace {

// Which tensors stand beside weight and weight_scale.
struct TypeRow {
  std::string_view type;
  DType weight, scale;
  bool packed;      // two codes a byte
  bool has_offset;  // zeros: the reference writes them, nobody reads them
  bool has_dual;
};

constexpr TypeRow kTypes[] = {
    {"W8A8_DYNAMIC", DType::kI8, DType::kF32, false, true, false},
    {"W8A16", DType::kI8, DType::kF32, false, true, false},
    {"W4A16", DType::kI8, DType::kF32, false, true, false},
    {"W8A8_MXFP8", DType::kF8E4M3, DType::kU8, false, false, false},
    {"W4A4_MXFP4", DType::kU8, DType::kU8, true, false, false},
    {"W4A4_MXFP4_DUALSCALE", DType::kU8, DType::kU8, true, false, true},
};

const TypeRow* find_type(const QuantScheme& scheme) {
  const std::string type = ascend_type(scheme);
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

bool supports(const QuantScheme& scheme, std::string* why) {
  const std::string type = ascend_type(scheme);
  const auto refuse = [&](std::string reason) {
    if (why) *why = std::move(reason);
    return false;
  };
  if (scheme.weight_granularity == Granularity::kGroup)
    return refuse("MindIE-SD reads one scale per channel and would ignore groups");
  if (type == "W4A4_DYNAMIC")
    return refuse("MindIE-SD drops the bias of W4A4_DYNAMIC layers, and every Linear of Wan2.1 has one");
  if (!find_type(scheme))
    return refuse(type.empty() ? "MindIE-SD has no type for it" : "MindIE-SD does not execute " + type);
  return true;
}

void check(const FormatJob& job) {
  for (const LayerPlan& layer : job.layers) {
    if (layer.low_rank > 0 && job.numerics == Numerics::kPrecise) {
      throw Error(
          {.what = "MindIE-SD executes no layer with a low-rank branch (svd_res): it leaves it in float "
                   "or raises",
           .where = layer.name,
           .hint = "use --format ascendv1, or --numerics compat to get msModelSlim's files all the same"});
    }
    const bool mx = layer.scheme.weight_granularity == Granularity::kBlock ||
                    layer.scheme.weight_granularity == Granularity::kDual;
    if (!layer.quantized() || !mx || layer.shape[1] % 64 == 0) continue;
    throw Error(
        {.what = fmt::format("MindIE-SD reads MX scales in pairs, so the {} inputs must be a multiple of 64",
                             layer.shape[1]),
         .where = layer.name,
         .hint = "exclude this layer in the recipe"});
  }
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  std::vector<OutTensor> out;
  if (!layer.quantized()) {
    if (job.slim) return out;
    for (const std::string& name : layer.tensors()) {
      const bool bias = layer.linear && name.ends_with(".bias");
      // The runtime holds bf16 whatever the file says.
      out.push_back({.name = name,
                     .dtype = DType::kBF16,
                     .shape = bias ? Shape{layer.shape[0]} : layer.shape,
                     .type = "FLOAT"});
    }
    return out;
  }
  const TypeRow& row = *find_type(layer.scheme);
  const std::string type = layer.low_rank > 0 ? low_rank_type(std::string(row.type)) : std::string(row.type);
  add_low_rank_tensors(layer, out);
  const int64_t rows = layer.shape[0], columns = layer.shape[1];
  const bool mx = row.scale == DType::kU8;
  out.push_back({.name = layer.name + ".weight",
                 .dtype = row.weight,
                 .shape = {rows, row.packed ? columns / 2 : columns},
                 .type = type});
  out.push_back({.name = layer.name + ".weight_scale",
                 .dtype = row.scale,
                 .shape = {rows, mx ? columns / 32 : 1},
                 .type = type});
  if (row.has_offset)
    out.push_back(
        {.name = layer.name + ".weight_offset", .dtype = DType::kF32, .shape = {rows, 1}, .type = type});
  if (row.has_dual)
    out.push_back({.name = layer.name + ".weight_dual_scale",
                   .dtype = DType::kF32,
                   .shape = {rows, columns / 512, 1},
                   .type = type});
  if (layer.has_bias)
    out.push_back({.name = layer.name + ".bias", .dtype = DType::kF32, .shape = {rows}, .type = "FLOAT"});
  return out;
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob&) {
  std::vector<Encoded> out;
  const TypeRow& row = *find_type(layer.scheme);
  add_low_rank_values(q, out);
  out.push_back(borrow(q.weight));
  out.push_back(borrow(q.scale));
  if (row.has_offset) {
    Tensor zeros(DType::kF32, {layer.shape[0], 1});
    std::memset(zeros.raw().data(), 0, zeros.bytes());
    out.push_back(own(std::move(zeros)));
  }
  if (row.has_dual) out.push_back(borrow(q.dual_scale));
  if (layer.has_bias) out.push_back(borrow(q.bias));
  return out;
}

// The type that names the files. The reference takes the last layer written; the Wan2.1 pipeline for NPUs
// opens only
// ..._w8a8_dynamic.json, so a mixture that has such layers goes by that name, any other by its most frequent
// type.
std::string model_type(const FormatJob& job) {
  std::map<std::string, int> count;
  std::string last;
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    last = ascend_type(layer.scheme);
    ++count[last];
  }
  if (job.numerics == Numerics::kCompat || count.empty()) return last;
  if (count.count("W8A8_DYNAMIC")) return "W8A8_DYNAMIC";
  return std::max_element(count.begin(), count.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

std::string file_name(std::string_view stem, const FormatJob& job, std::string_view ending) {
  std::string suffix = model_type(job);
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return fmt::format("{}_{}{}", stem, suffix, ending);
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  return {safetensors_file(file_name("quant_model_weight", job, ".safetensors"), tensors)};
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  Json description = Json::object();
  for (const OutTensor& t : tensors) description[t.name] = t.type;
  description["model_quant_type"] = model_type(job);
  return {{.name = file_name("quant_model_description", job, ".json"), .text = description.dump(4)}};
}

}  // namespace

Format mindie_format() {
  return {.name = "mindie",
          .summary = "MindIE-SD on Ascend NPUs",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes_mindie,
          .verify = verify_mindie,
          .read = read_mindie,
          .slims = true,
          .branches = true,
          .copies = {".json", ".py"}};
}

}  // namespace wanslim
