// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "formats/ascendv1.h"
#include "formats/file_source.h"
#include "formats/loader_checks.h"
#include "formats/low_rank.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

using Packing = AscendV1Type::Packing;
constexpr uint64_t kMaxDescription = uint64_t{1} << 28;

Json read_description(const Path& folder) {
  const Path path = folder / kAscendV1Description;
  Json json = parse_json(read_text(path, kMaxDescription), path.string());
  if (!json.is_object()) throw Error({.what = "the description is no JSON object", .where = path.string()});
  return json;
}

// What the description says of a layer; null for float and unknown ones.
const AscendV1Type* type_of(const Json& description, const std::string& layer, bool* low_rank) {
  const auto entry = description.find(layer + ".weight");
  if (entry == description.end() || !entry->is_string()) return nullptr;
  return find_ascendv1_type(without_low_rank(entry->get<std::string>(), low_rank));
}

struct Sizes {
  int64_t out = 0, in = 0;
  QuantScheme scheme;
};

bool is_mx(Encoding encoding) {
  return encoding == Encoding::kMxFp8 || encoding == Encoding::kMxFp4;
}

// The Linear behind a stored weight and scale, both matrices; `in` is 0 if they do not fit each other.
Sizes sizes_of(const AscendV1Type& type, const Shape& weight, const Shape& scale) {
  Sizes s;
  s.scheme.weight = type.weight;
  s.scheme.activation = type.activation;
  const bool mx = is_mx(type.weight), grouped = !mx && scale[1] > 1;
  s.scheme.weight_granularity = type.has_dual ? Granularity::kDual
                                : mx          ? Granularity::kBlock
                                : grouped     ? Granularity::kGroup
                                              : Granularity::kChannel;
  if (is_mx(type.activation)) {
    s.scheme.activation_granularity = type.has_dual ? Granularity::kDual : Granularity::kBlock;
  } else if (type.activation != Encoding::kFloat) {
    s.scheme.activation_granularity = Granularity::kToken;
  }
  const bool columns = type.packing == Packing::kColumns || (type.packing == Packing::kAsGrouped && grouped);
  const bool rows = type.packing == Packing::kRows || (type.packing == Packing::kAsGrouped && !grouped);
  s.out = columns ? weight[0] * 2 : weight[0];
  s.in = rows ? weight[1] * 2 : weight[1];
  if (mx) s.scheme.group = 32;
  if (grouped) s.scheme.group = static_cast<int>(s.in / scale[1]);
  if (grouped && (s.scheme.group == 0 || s.in % scale[1] != 0)) s.in = 0;
  return s;
}

void check_layer(const Checkpoint& file, const Json& description, const std::string& layer,
                 const AscendV1Type& type, bool low_rank, VerifyReport& report) {
  const StoredTensor* weight = file.find(layer + ".weight");
  const StoredTensor* scale = file.find(layer + ".weight_scale");
  if (!weight || !scale || weight->shape.size() != 2 || scale->shape.size() != 2 || scale->shape[1] < 1) {
    report.problems.push_back(
        fmt::format("{}: weight and weight_scale must both be there as matrices", layer));
    return;
  }
  const Sizes s = sizes_of(type, weight->shape, scale->shape);
  if (s.in == 0) {
    report.problems.push_back(
        fmt::format("{}: {} scales a row do not divide the inputs", layer, scale->shape[1]));
    return;
  }
  // The reference writes the whole product, the kernel wants its row sums.
  const StoredTensor* bias = file.find(layer + ".scale_bias");
  const bool whole = bias && bias->shape.size() == 2 && bias->shape[1] == s.in;
  for (const OutTensor& t : ascendv1_tensors(layer, type, s.scheme, s.out, s.in, whole)) {
    expect_tensor(file, t.name, t.dtype, t.shape, report);
    const auto entry = description.find(t.name);
    const std::string said = low_rank ? low_rank_type(std::string(type.type)) : std::string(type.type);
    if (entry == description.end() || *entry != said)
      report.problems.push_back(fmt::format("the description does not say {} of {}", said, t.name));
  }
  if (low_rank) check_low_rank(file, layer, s.out, s.in, report);
  if (scale->dtype == DType::kF32) check_scales(file, *scale, report);
  const Json said = description.value("group_size", Json());
  if (s.scheme.weight_granularity == Granularity::kGroup && said != s.scheme.group) {
    report.problems.push_back(
        fmt::format("{} has groups of {}, the description says {}", layer, s.scheme.group, said.dump()));
  }
  if (file.find(layer + ".bias")) expect_tensor(file, layer + ".bias", DType::kF32, {s.out}, report);
}

void check_header(const Json& description, VerifyReport& report) {
  const auto says = [&](const char* key, bool good, const std::string& expected) {
    if (!good)
      report.problems.push_back(fmt::format("\"{}\" of the description is {}, expected {}", key,
                                            description.contains(key) ? description[key].dump() : "missing",
                                            expected));
  };
  const auto member = [&](const char* key) { return description.value(key, Json()); };
  says("version", member("version") == "1.0.0", "\"1.0.0\"");
  const Json type = member("model_quant_type");
  says("model_quant_type",
       type.is_string() &&
           (type == "FLOAT" || type == "W4A4_MXFP4_SVD" || find_ascendv1_type(type.get<std::string>())),
       "a type");
  says("group_size", member("group_size").is_number_integer(), "a number");
  says("metadata", member("metadata").is_object(), "an object");
  says("optional", member("optional").is_object(), "an object");
}

bool is_header(std::string_view key) {
  return key == "version" || key == "model_quant_type" || key == "group_size" || key == "metadata" ||
         key == "optional";
}

std::optional<QuantizedLinear> load_linear(const Json& description, const FileSource& source,
                                           const std::string& layer) {
  bool low_rank = false;
  const AscendV1Type* type = type_of(description, layer, &low_rank);
  if (!type) return std::nullopt;
  const DType scale_dtype = is_mx(type->weight) ? DType::kU8 : DType::kF32;
  QuantizedLinear q;
  q.weight = source.load(layer + ".weight");
  q.scale = source.load_as(layer + ".weight_scale", scale_dtype, 2);
  if (q.weight.shape().size() != 2 || q.scale.dim(1) < 1)
    throw Error({.what = "weight and weight_scale are no matrices", .where = layer});
  q.scheme = sizes_of(*type, q.weight.shape(), q.scale.shape()).scheme;
  const bool grouped = q.scheme.weight_granularity == Granularity::kGroup;
  if (type->packing == Packing::kColumns || (type->packing == Packing::kAsGrouped && grouped)) {
    q.weight = unpack_int4_along_columns(source.load_as(layer + ".weight", DType::kI8));
  } else if (type->packing == Packing::kAsGrouped) {
    q.weight = unpack_int4_along_rows(source.load_as(layer + ".weight", DType::kI8));
  }
  if (low_rank) load_low_rank(source, layer, q);
  if (type->has_dual) {
    const Tensor dual = source.load_as(layer + ".weight_dual_scale", DType::kF32, 3);
    q.dual_scale = Tensor(DType::kF32, {dual.dim(0), dual.dim(1) * dual.dim(2)});
    std::copy(dual.raw().begin(), dual.raw().end(), q.dual_scale.raw().begin());
  }
  return q;
}

}  // namespace

bool recognizes_ascendv1(const Path& folder) {
  if (!is_folder(folder) || !path_exists(folder / kAscendV1Description)) return false;
  const std::string stem(kAscendV1Stem);
  return path_exists(folder / (stem + ".safetensors")) ||
         path_exists(folder / (stem + ".safetensors.index.json"));
}

VerifyReport verify_ascendv1(const Path& folder) {
  VerifyReport report;
  const Json description = read_description(folder);
  check_header(description, report);
  const Checkpoint file = Checkpoint::open(folder);
  size_t layers = 0;
  for (const auto& [key, value] : description.items()) {
    if (is_header(key)) continue;
    const std::string type = value.is_string() ? value.get<std::string>() : value.dump();
    if (!file.find(key)) report.problems.push_back(key + " is in the description and not in the file");
    if (type == "FLOAT") continue;
    bool low_rank = false;
    const AscendV1Type* known = find_ascendv1_type(without_low_rank(type, &low_rank));
    if (!known) report.problems.push_back(fmt::format("{} is {}, which is no type of AscendV1", key, type));
    if (!known || !key.ends_with(".weight")) continue;
    check_layer(file, description, key.substr(0, key.size() - 7), *known, low_rank, report);
    ++layers;
  }
  for (const StoredTensor& t : file.tensors()) {
    if (!description.contains(t.name))
      report.problems.push_back(t.name + " is in the file and not in the description");
  }
  if (layers == 0) report.problems.push_back("the description names no quantized layer");
  report.checked.push_back(
      fmt::format("{} quantized layers: types, required tensors, dtypes, shapes, scales", layers));
  report.checked.push_back(fmt::format("description against {} tensors in {} file{}", file.tensors().size(),
                                       file.files().size(), file.files().size() == 1 ? "" : "s"));
  return report;
}

std::unique_ptr<WeightSource> read_ascendv1(const Path& folder) {
  return std::make_unique<FileSource>(
      Checkpoint::open(folder),
      [description = read_description(folder)](const FileSource& source, const std::string& layer) {
        return load_linear(description, source, layer);
      });
}

}  // namespace wanslim
