// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "formats/encoder_checks.h"
#include "formats/file_source.h"
#include "formats/lightx2v.h"
#include "formats/loader_checks.h"
#include "formats/model_checks.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxConfig = 1 << 20;

// What the config announces.
struct Announced {
  const LightX2vPart* part = nullptr;
  std::optional<DType> weight = {};  // nullopt: that of the first quantized layer
};

// The dtype of the weights that a scheme such as "int8-vllm" runs.
std::optional<DType> weight_of(const LightX2vPart& part, std::string_view scheme) {
  for (const auto& [prefix, kernels, dtype] :
       {std::tuple{"int8-", &part.int8, DType::kI8}, std::tuple{"fp8-", &part.fp8, DType::kF8E4M3}}) {
    if (!scheme.starts_with(prefix)) continue;
    const std::string_view kernel = scheme.substr(std::string_view(prefix).size());
    if (std::find(kernels->begin(), kernels->end(), kernel) != kernels->end()) return dtype;
  }
  return std::nullopt;
}

Announced announced(const Path& folder, VerifyReport& report) {
  const auto parts = lightx2v_parts();
  Announced out{.part = &parts.front()};
  const Path path = folder / kLightX2vConfig;
  if (!path_exists(path)) {
    report.checked.push_back("no lightx2v_config.json: the scheme was taken from the weights");
    return out;
  }
  const std::string where = path.string();
  const Json config = parse_json(read_text(path, kMaxConfig), where);
  for (const LightX2vPart& part : parts) {
    if (config.is_object() && config.contains(std::string(part.key) + "_quantized")) out.part = &part;
  }
  const std::string key(out.part->key);
  if (json_member(config, (key + "_quantized").c_str(), where) != true)
    report.problems.push_back(fmt::format("\"{}_quantized\" of lightx2v_config.json is not true", key));
  const std::string ckpt = json_string(config, (key + "_quantized_ckpt").c_str(), where);
  if (!path_exists(folder / ckpt))
    report.problems.push_back(
        fmt::format("lightx2v_config.json names \"{}\", which is not there", printable(ckpt)));
  const std::string scheme = json_string(config, (key + "_quant_scheme").c_str(), where);
  out.weight = weight_of(*out.part, scheme);
  if (!out.weight)
    report.problems.push_back(fmt::format("\"{}_quant_scheme\" is \"{}\", which does not run these weights",
                                          key, printable(scheme)));
  return out;
}

bool is_code(DType dtype) {
  return dtype == DType::kI8 || dtype == DType::kF8E4M3;
}

void check_layer(const Checkpoint& file, const std::string& layer, DType dtype, VerifyReport& report) {
  const StoredTensor* weight = file.find(layer + ".weight");
  if (!weight || weight->shape.size() != 2) return;  // check_whole_model names it
  if (!is_code(weight->dtype)) {
    report.problems.push_back(
        fmt::format("{} is float, and LightX2V runs all Linears of the blocks in one scheme", layer));
    return;
  }
  expect_tensor(file, layer + ".weight", dtype, weight->shape, report);
  const StoredTensor* scale =
      expect_tensor(file, layer + ".weight_scale", DType::kF32, {weight->shape[0], 1}, report);
  if (scale) check_bf16_scales(file, *scale, report);
  const StoredTensor* bias = file.find(layer + ".bias");
  if (bias && bias->shape != Shape{weight->shape[0]})
    report.problems.push_back(fmt::format("{}.bias is {}", layer, to_string(bias->shape)));
}

// With one file a block every tensor is looked for in the file of its block.
void check_files(const Checkpoint& file, VerifyReport& report) {
  for (const StoredTensor& t : file.tensors()) {
    const std::string in = file.files()[t.file].file.path().filename().string();
    if (in != lightx2v_file(t.name))
      report.problems.push_back(
          fmt::format("{} is in {}, lazy loading looks in {}", t.name, in, lightx2v_file(t.name)));
  }
}

std::optional<QuantizedLinear> load_linear(const FileSource& source, const std::string& layer) {
  const StoredTensor* weight = source.find(layer + ".weight");
  if (!weight || !is_code(weight->dtype)) return std::nullopt;
  const Encoding encoding = weight->dtype == DType::kI8 ? Encoding::kInt8 : Encoding::kFp8E4M3;
  QuantizedLinear q;
  q.scheme = {.weight = encoding, .activation = encoding, .activation_granularity = Granularity::kToken};
  q.weight = source.load(layer + ".weight");
  q.scale = source.load_as(layer + ".weight_scale", DType::kF32, 2);
  return q;
}

}  // namespace

bool recognizes_lightx2v(const Path& folder) {
  return is_folder(folder) && (path_exists(folder / kLightX2vConfig) || path_exists(folder / kNonBlock));
}

VerifyReport verify_lightx2v(const Path& folder) {
  VerifyReport report;
  const Announced config = announced(folder, report);
  std::optional<DType> dtype = config.weight;
  const ModelPart part = config.part->part;
  const bool transformer = part == ModelPart::kTransformer;
  const Checkpoint file = Checkpoint::open(folder);
  std::set<std::string> names;
  for (const StoredTensor& t : file.tensors()) names.insert(t.name);
  const std::set<std::string> layers = transformer ? core_linears(names) : encoder_linears(part, names);
  for (const std::string& layer : layers) {
    const StoredTensor* weight = file.find(layer + ".weight");
    if (!dtype && is_code(weight->dtype)) dtype = weight->dtype;
    check_layer(file, layer, dtype.value_or(DType::kI8), report);
  }
  for (const StoredTensor& t : file.tensors()) {
    const bool weight = t.name.ends_with(".weight");
    if (weight && is_code(t.dtype) && !layers.count(t.name.substr(0, t.name.size() - 7)))
      report.problems.push_back(t.name + " is quantized, and LightX2V runs this layer in float");
  }
  if (transformer) {
    check_whole_model(names, report);
  } else {
    check_whole_encoder(part, names, report);
  }
  if (path_exists(folder / kNonBlock)) check_files(file, report);
  report.checked.push_back(fmt::format(
      "{} Linears of the blocks: one scheme, required tensors, dtypes, shapes, bf16 scales", layers.size()));
  report.checked.push_back(fmt::format("{} tensors of the {} in {} file{}", names.size(), name_of(part),
                                       file.files().size(), file.files().size() == 1 ? "" : "s"));
  return report;
}

std::unique_ptr<WeightSource> read_lightx2v(const Path& folder) {
  return std::make_unique<FileSource>(Checkpoint::open(folder), load_linear);
}

}  // namespace wanslim
