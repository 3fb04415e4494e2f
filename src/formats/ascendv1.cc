// SPDX-License-Identifier: Apache-2.0
#include "formats/ascendv1.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/low_rank.h"
#include "formats/pack.h"
#include "formats/shards.h"

namespace wanslim {
namespace {

using Packing = AscendV1Type::Packing;

// In the order of the reference's QUANT_TYPE_PRIORITY; W4A16 and W4A8_DYNAMIC are not in it.
constexpr AscendV1Type kTypes[] = {
    {"W8A16", Encoding::kInt8, Encoding::kFloat, Packing::kNone, true},
    {"W8A8_DYNAMIC", Encoding::kInt8, Encoding::kInt8, Packing::kNone, true},
    {"WFP8AFP8_DYNAMIC", Encoding::kFp8E4M3, Encoding::kFp8E4M3, Packing::kNone, true},
    {"W8A8_MXFP8", Encoding::kMxFp8, Encoding::kMxFp8},
    {"W4A16", Encoding::kInt4, Encoding::kFloat, Packing::kAsGrouped, true},
    {"W4A8_DYNAMIC", Encoding::kInt4, Encoding::kInt8, Packing::kColumns, true, true},
    {"W4A8_MXFP", Encoding::kMxFp4, Encoding::kMxFp8, Packing::kRows},
    {"W4A4_DYNAMIC", Encoding::kInt4, Encoding::kInt4, Packing::kNone, true},
    {"W4A4_MXFP4", Encoding::kMxFp4, Encoding::kMxFp4, Packing::kRows},
    {"W4A4_MXFP4_DUALSCALE", Encoding::kMxFp4, Encoding::kMxFp4, Packing::kRows, false, false, true},
};

// As the reference tells: by the scales of a row, so that one group is as good as none.
bool in_groups(const QuantScheme& scheme, int64_t in) {
  return scheme.weight_granularity == Granularity::kGroup && in > scheme.group;
}

bool supports(const QuantScheme& scheme, std::string* why) {
  const std::string type = ascend_type(scheme);
  if (find_ascendv1_type(type)) return true;
  if (why) *why = type.empty() ? "AscendV1 has no type for it" : "AscendV1 writes no " + type;
  return false;
}

void check(const FormatJob& job) {
  int group = 0;
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    if (layer.scheme.weight_granularity == Granularity::kGroup) {
      if (group > 0 && group != layer.scheme.group) {
        throw Error({.what = fmt::format(
                         "AscendV1 has one group_size for all layers, and here are groups of {} and {}",
                         group, layer.scheme.group),
                     .where = layer.name,
                     .hint = "use one group_size in the recipe"});
      }
      group = layer.scheme.group;
    }
    const AscendV1Type& type = *find_ascendv1_type(ascend_type(layer.scheme));
    const bool packs = type.packing == Packing::kColumns || type.packing == Packing::kAsGrouped;
    if (!packs || (layer.shape[0] % 2 == 0 && layer.shape[1] % 2 == 0)) continue;
    throw Error({.what = fmt::format("AscendV1 packs two codes of {} into a byte, and {} is odd", type.type,
                                     to_string(layer.shape)),
                 .where = layer.name,
                 .hint = "exclude this layer in the recipe"});
  }
}

std::vector<OutTensor> plan(const LayerPlan& layer, const FormatJob& job) {
  std::vector<OutTensor> out;
  if (!layer.quantized()) {
    for (const std::string& name : layer.tensors()) {
      const bool bias = layer.linear && name.ends_with(".bias");
      // The reference loads the model in bf16, and so do the runtimes.
      out.push_back({.name = name,
                     .dtype = DType::kBF16,
                     .shape = bias ? Shape{layer.shape[0]} : layer.shape,
                     .type = "FLOAT"});
    }
    return out;
  }
  const AscendV1Type& type = *find_ascendv1_type(ascend_type(layer.scheme));
  add_low_rank_tensors(layer, out);
  for (OutTensor& t : ascendv1_tensors(layer.name, type, layer.scheme, layer.shape[0], layer.shape[1],
                                       job.numerics == Numerics::kCompat)) {
    if (layer.low_rank > 0) t.type = low_rank_type(t.type);
    out.push_back(std::move(t));
  }
  if (layer.has_bias) {
    out.push_back({.name = layer.name + ".bias",
                   .dtype = DType::kF32,
                   .shape = {layer.shape[0]},
                   .type = !type.has_dual       ? "FLOAT"
                           : layer.low_rank > 0 ? low_rank_type(std::string(type.type))
                                                : std::string(type.type)});
  }
  return out;
}

Tensor zeros(Shape shape) {
  Tensor out(DType::kF32, std::move(shape));
  std::memset(out.raw().data(), 0, out.bytes());
  return out;
}

// Spec msmodelslim 5.2: the kernel works on codes 8 higher than they are, and takes this back.
Tensor scale_bias(const QuantizedLinear& q, bool whole) {
  const size_t rows = static_cast<size_t>(q.weight.dim(0)), columns = static_cast<size_t>(q.weight.dim(1));
  Tensor out(DType::kF32, {q.weight.dim(0), whole ? q.weight.dim(1) : 1});
  const std::span<float> to = out.as<float>();
  for (size_t r = 0; r < rows; ++r) {
    const std::span<const int8_t> codes = q.weight.as<int8_t>().subspan(r * columns, columns);
    const float scale = q.scale.as<float>()[r];
    if (whole) {
      for (size_t c = 0; c < columns; ++c) to[r * columns + c] = static_cast<float>(codes[c]) * scale;
    } else {
      int64_t sum = 0;
      for (const int8_t code : codes) sum += code;
      to[r] = static_cast<float>(8.0 * static_cast<double>(sum) * static_cast<double>(scale));
    }
  }
  return out;
}

Encoded packed(const QuantizedLinear& q, const AscendV1Type& type) {
  const bool grouped = in_groups(q.scheme, q.weight.dim(1));
  if (type.packing == Packing::kColumns || (type.packing == Packing::kAsGrouped && grouped))
    return own(pack_int4_along_columns(q.weight));
  if (type.packing == Packing::kAsGrouped) return own(pack_int4_along_rows(q.weight));
  return borrow(q.weight);  // MX codes are packed along rows already
}

std::vector<Encoded> encode(const LayerPlan& layer, const QuantizedLinear& q, const FormatJob& job) {
  const AscendV1Type& type = *find_ascendv1_type(ascend_type(layer.scheme));
  std::vector<Encoded> out;
  add_low_rank_values(q, out);
  out.push_back(packed(q, type));
  out.push_back(borrow(q.scale));
  if (type.has_offset) out.push_back(own(zeros(q.scale.shape())));
  if (type.has_scale_bias) out.push_back(own(scale_bias(q, job.numerics == Numerics::kCompat)));
  if (type.has_dual) out.push_back(borrow(q.dual_scale));
  if (layer.has_bias) out.push_back(borrow(q.bias));
  return out;
}

std::vector<FileLayout> layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  return sharded_files(std::string(kAscendV1Stem), tensors, job.shard_bytes);
}

// The type of the highest priority; of those with a low-rank branch the reference counts W4A4_MXFP4_SVD
// alone. It does not count W4A8_DYNAMIC, and says FLOAT of a model that has nothing else.
std::string model_type(const FormatJob& job) {
  const AscendV1Type* highest = nullptr;
  for (const LayerPlan& layer : job.layers) {
    if (layer.low_rank > 0 && ascend_type(layer.scheme) == "W4A4_MXFP4") return "W4A4_MXFP4_SVD";
    const AscendV1Type* type = layer.quantized() ? find_ascendv1_type(ascend_type(layer.scheme)) : nullptr;
    if (!type || (job.numerics == Numerics::kCompat && type->has_scale_bias)) continue;
    highest = std::max(highest, type);  // rows of one table
  }
  return highest ? std::string(highest->type) : "FLOAT";
}

// That of the last layer that has one.
int group_size(const FormatJob& job) {
  int group = 0;
  for (const LayerPlan& layer : job.layers) {
    if (layer.quantized() && layer.scheme.group > 0) group = layer.scheme.group;
  }
  return group;
}

std::vector<Sidecar> sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  Json description = Json::object();
  for (const OutTensor& t : tensors) description[t.name] = t.type;
  description["version"] = "1.0.0";
  description["model_quant_type"] = model_type(job);
  description["metadata"] = Json::object();
  description["group_size"] = group_size(job);
  description["optional"] = Json::object();
  std::vector<Sidecar> out = shard_index(std::string(kAscendV1Stem), tensors, job.shard_bytes);
  out.push_back({.name = std::string(kAscendV1Description), .text = description.dump(4)});
  return out;
}

}  // namespace

std::span<const AscendV1Type> ascendv1_types() {
  return kTypes;
}

const AscendV1Type* find_ascendv1_type(std::string_view type) {
  for (const AscendV1Type& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

std::vector<OutTensor> ascendv1_tensors(const std::string& layer, const AscendV1Type& type,
                                        const QuantScheme& scheme, int64_t out, int64_t in, bool whole_bias) {
  const bool grouped = in_groups(scheme, in);
  const bool mx = type.weight == Encoding::kMxFp8 || type.weight == Encoding::kMxFp4;
  const bool columns = type.packing == Packing::kColumns || (type.packing == Packing::kAsGrouped && grouped);
  const bool rows = type.packing == Packing::kRows || (type.packing == Packing::kAsGrouped && !grouped);
  const DType weight = type.weight == Encoding::kMxFp4                                    ? DType::kU8
                       : type.weight == Encoding::kInt8 || type.weight == Encoding::kInt4 ? DType::kI8
                                                                                          : DType::kF8E4M3;
  const Shape scale = {out, mx ? in / 32 : grouped ? in / scheme.group : 1};
  std::vector<OutTensor> tensors;
  const auto add = [&](const char* suffix, DType dtype, Shape shape) {
    tensors.push_back(
        {.name = layer + suffix, .dtype = dtype, .shape = std::move(shape), .type = std::string(type.type)});
  };
  add(".weight", weight, {columns ? out / 2 : out, rows ? in / 2 : in});
  add(".weight_scale", mx ? DType::kU8 : DType::kF32, scale);
  if (type.has_offset) add(".weight_offset", DType::kF32, scale);
  if (type.has_scale_bias) add(".scale_bias", DType::kF32, {out, whole_bias ? in : 1});
  if (type.has_dual) add(".weight_dual_scale", DType::kF32, {out, in / 512, 1});
  return tensors;
}

Format ascendv1_format() {
  return {.name = "ascendv1",
          .summary = "AscendV1 loaders on Ascend NPUs",
          .supports = supports,
          .check = check,
          .plan = plan,
          .encode = encode,
          .layout = layout,
          .sidecars = sidecars,
          .recognizes = recognizes_ascendv1,
          .verify = verify_ascendv1,
          .read = read_ascendv1,
          .branches = true,
          .shards = true,
          .copies = {".json", ".py", ".txt", ".jinja"}};
}

}  // namespace wanslim
