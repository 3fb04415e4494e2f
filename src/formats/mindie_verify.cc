// SPDX-License-Identifier: Apache-2.0
#include "formats/mindie_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "base/error.h"
#include "formats/loader_checks.h"
#include "formats/low_rank.h"
#include "formats/manifest.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr std::string_view kDescription = "quant_model_description";
constexpr uint64_t kMaxDescription = uint64_t{10} << 30;
constexpr uint64_t kMaxWeights = uint64_t{100} << 30;

// MindIE-SD's QuantAlgorithm, and what it executes of it.
struct Algorithm {
  std::string_view name;
  bool runs;  // else the layer is silently left in float, or loading raises
  DType weight, scale;
  int weight_divisor;  // columns of the stored weight = in / divisor
  int block;           // inputs that share a scale; 0: all of a row
  QuantScheme scheme;
};

const std::vector<Algorithm>& algorithms() {
  const auto scheme = [](Encoding w, Granularity wg, Encoding a, Granularity ag, int group = 0) {
    return QuantScheme{
        .weight = w, .weight_granularity = wg, .activation = a, .activation_granularity = ag, .group = group};
  };
  static const std::vector<Algorithm> kTable = {
      {"W8A8_DYNAMIC", true, DType::kI8, DType::kF32, 1, 0,
       scheme(Encoding::kInt8, Granularity::kChannel, Encoding::kInt8, Granularity::kToken)},
      {"W8A16", true, DType::kI8, DType::kF32, 1, 0,
       scheme(Encoding::kInt8, Granularity::kChannel, Encoding::kFloat, Granularity::kTensor)},
      {"W4A16", true, DType::kI8, DType::kF32, 1, 0,
       scheme(Encoding::kInt4, Granularity::kChannel, Encoding::kFloat, Granularity::kTensor)},
      {"W8A8_MXFP8", true, DType::kF8E4M3, DType::kU8, 1, 32,
       scheme(Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, Granularity::kBlock, 32)},
      {"W4A4_MXFP4", true, DType::kU8, DType::kU8, 2, 32,
       scheme(Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, Granularity::kBlock, 32)},
      {"W4A4_MXFP4_DUALSCALE", true, DType::kU8, DType::kU8, 2, 32,
       scheme(Encoding::kMxFp4, Granularity::kDual, Encoding::kMxFp4, Granularity::kDual, 32)},
      {"W4A4_DYNAMIC", false, DType::kI8, DType::kF32, 1, 0, {}},
      {"W4A16_AWQ", false, DType::kI8, DType::kF32, 1, 0, {}},
      {"W4A8_AWQ", false, DType::kI8, DType::kF32, 1, 0, {}},
      {"W8A16_GPTQ", false, DType::kI8, DType::kF32, 1, 0, {}},
      {"W4A16_GPTQ", false, DType::kI8, DType::kF32, 1, 0, {}},
  };
  return kTable;
}

const Algorithm* find_algorithm(std::string_view name) {
  for (const Algorithm& row : algorithms()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Descriptions in a folder; the pipeline names the file, so two are a question and not an error yet.
std::vector<Path> descriptions(const Path& folder) {
  std::vector<Path> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kDescription) && name.ends_with(".json")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Opened {
  Path description, weights;
  Json json;
  std::string type;
};

Opened open_folder(const Path& folder) {
  const std::vector<Path> found = descriptions(folder);
  if (found.size() != 1) {
    throw Error({.what = fmt::format("expected one {}*.json, found {}", kDescription, found.size()),
                 .where = folder.string()});
  }
  Opened o{.description = found[0], .weights = {}, .json = {}, .type = {}};
  o.json = parse_json(read_text(o.description, uint64_t{1} << 28), o.description.string());
  o.type = json_string(o.json, "model_quant_type", o.description.string());
  o.weights = folder / fmt::format("quant_model_weight_{}.safetensors", lower(o.type));
  return o;
}

// The keys by which quantize() decides about module `name`, in its order.
std::array<std::string, 5> keys_of(const std::string& name) {
  return {name + ".linear.weight", name + ".weight", name, name + ".fa_q.scale", name + ".quant_type"};
}

void check_layer(const Checkpoint& file, const Json& json, const std::string& name, const std::string& type,
                 VerifyReport& report) {
  for (const std::string& key : keys_of(name)) {
    if (json.contains(key) && json[key] == "FLOAT") {
      report.problems.push_back(fmt::format("\"{}\" is FLOAT, so the loader leaves {} in float", key, name));
    }
  }
  const Algorithm* algorithm = find_algorithm(type);
  if (!algorithm || !algorithm->runs) {
    report.problems.push_back(fmt::format("{} is {}, which MindIE-SD does not execute", name, type));
    return;
  }
  const StoredTensor* weight = file.find(name + ".weight");
  if (!weight || weight->dtype != algorithm->weight || weight->shape.size() != 2) {
    report.problems.push_back(fmt::format(
        "{}.weight is {}, the loader expects {} [out, in]", name,
        weight ? fmt::format("{} {}", name_of(weight->dtype), to_string(weight->shape)) : "missing",
        name_of(algorithm->weight)));
    return;
  }
  const int64_t out = weight->shape[0], in = weight->shape[1] * algorithm->weight_divisor;
  const StoredTensor* scale = expect_tensor(file, name + ".weight_scale", algorithm->scale,
                                            {out, algorithm->block ? in / algorithm->block : 1}, report);
  if (scale && scale->dtype == DType::kF32) check_scales(file, *scale, report);
  if (algorithm->block && in % 64 != 0)
    report.problems.push_back(
        fmt::format("{} has {} inputs, MX scales are read in pairs (multiple of 64)", name, in));
  if (algorithm->scheme.weight_granularity == Granularity::kDual) {
    expect_tensor(file, name + ".weight_dual_scale", DType::kF32, {out, in / 512, 1}, report);
  }
  // Every Linear of Wan2.1 has a bias; the float one is thrown away when the layer is replaced.
  expect_tensor(file, name + ".bias", DType::kF32, {out}, report);
}

class MindieSource : public WeightSource {
 public:
  explicit MindieSource(const Path& folder) {
    Opened o = open_folder(folder);
    json_ = std::move(o.json);
    file_ = Checkpoint::open(o.weights);
  }
  bool has(std::string_view tensor) const override { return file_.find(tensor) != nullptr; }
  Shape shape(std::string_view tensor) const override { return at(tensor).shape; }
  DType dtype(std::string_view tensor) const override { return at(tensor).dtype; }
  Tensor load(std::string_view tensor) const override { return file_.load(at(tensor)); }

  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override {
    const std::string name(layer);
    const auto entry = json_.find(name + ".weight");
    if (entry == json_.end() || !entry->is_string() || *entry == "FLOAT") return std::nullopt;
    bool low_rank = false;
    const Algorithm* algorithm = find_algorithm(without_low_rank(entry->get<std::string>(), &low_rank));
    if (!algorithm || !algorithm->runs) throw Error({.what = "cannot read " + entry->dump(), .where = name});
    QuantizedLinear q{.name = name, .scheme = algorithm->scheme};
    q.weight = load(name + ".weight");
    q.scale = load(name + ".weight_scale");
    if (low_rank) load_low_rank(*this, name, q);
    if (has(name + ".bias")) q.bias = load(name + ".bias");
    if (q.scheme.weight_granularity == Granularity::kDual) {
      const Tensor dual = load(name + ".weight_dual_scale");
      if (dual.dtype() != DType::kF32 || dual.shape().size() < 2)
        throw Error({.what = "weight_dual_scale is no F32 matrix", .where = name});
      q.dual_scale = Tensor(DType::kF32, {dual.dim(0), dual.dim(1)});
      std::copy(dual.raw().begin(), dual.raw().end(), q.dual_scale.raw().begin());
    }
    std::string why;
    if (!is_consistent(q, &why)) throw Error({.what = why, .where = name});
    return q;
  }

 private:
  const StoredTensor& at(std::string_view tensor) const {
    const StoredTensor* t = file_.find(tensor);
    if (!t)
      throw Error({.what = "the tensor is not in the file",
                   .where = fmt::format("{}: \"{}\"", file_.files()[0].file.path().string(), tensor)});
    return *t;
  }
  Json json_;
  Checkpoint file_;
};

}  // namespace

bool recognizes_mindie(const Path& path) {
  if (!is_folder(path)) return false;
  for (const Path& description : descriptions(path)) {
    const std::string name = description.filename().string();
    if (name.size() > kDescription.size() && name[kDescription.size()] == '_') return true;
  }
  return false;
}

VerifyReport verify_mindie(const Path& path) {
  VerifyReport report;
  const Opened o = open_folder(path);
  check_secure_file(o.description, kMaxDescription, report);
  const std::string stem = o.description.stem().string();
  if (std::isdigit(static_cast<unsigned char>(stem.back()))) {
    const size_t last = stem.find_last_not_of("0123456789");
    if (stem[last] == '_')
      report.problems.push_back(
          "the description's name ends in _<digits>, which the loader takes for a rank");
  }
  if (!find_algorithm(o.type))
    report.problems.push_back(fmt::format("model_quant_type \"{}\" is not in the loader's enum", o.type));
  if (!path_exists(o.weights)) {
    report.problems.push_back(o.weights.filename().string() + " is missing");
    return report;
  }
  check_secure_file(o.weights, kMaxWeights, report);
  const Checkpoint file = Checkpoint::open(o.weights);
  size_t layers = 0;
  for (const auto& [key, value] : o.json.items()) {
    if (key == "model_quant_type" || !value.is_string() || value == "FLOAT") continue;
    if (!file.find(key)) report.problems.push_back(key + " is in the description and not in the file");
    if (!key.ends_with(".weight")) continue;
    check_layer(file, o.json, key.substr(0, key.size() - 7), value.get<std::string>(), report);
    ++layers;
  }
  if (layers == 0) report.problems.push_back("the description names no quantized layer");
  report.checked.push_back(
      fmt::format("{} quantized layers: keys, required tensors, dtypes, shapes, scales", layers));
  report.checked.push_back(fmt::format("names and modes of {} and {}", o.description.filename().string(),
                                       o.weights.filename().string()));
  return report;
}

std::unique_ptr<WeightSource> read_mindie(const Path& path) {
  return std::make_unique<MindieSource>(path);
}

}  // namespace wanslim
