// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "formats/compressed_tensors.h"
#include "formats/file_source.h"
#include "formats/loader_checks.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

constexpr int64_t kMaxGroup = 1 << 20;

bool flag(const Json& object, const char* key, bool absent) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_boolean() ? absent : found->get<bool>();
}

std::set<std::string> names_in(const Json& object, const char* key, std::string_view where) {
  std::set<std::string> out;
  const auto list = object.find(key);
  if (list == object.end() || list->is_null()) return out;
  if (!list->is_array())
    throw Error({.what = fmt::format("\"{}\" is no list of names", key), .where = std::string(where)});
  for (const Json& name : *list) {
    if (!name.is_string())
      throw Error({.what = fmt::format("\"{}\" is no list of names", key), .where = std::string(where)});
    const auto text = name.get<std::string>();
    if (text.starts_with("re:"))
      throw Error({.what = fmt::format("\"{}\" has the pattern {}, and only names are read here", key,
                                       printable(text)),
                   .where = std::string(where)});
    out.insert(text);
  }
  return out;
}

// Weights or inputs of a group.
Encoding encoding_of(const Json& args, std::string_view where) {
  const std::string type = json_string(args, "type", where);
  const int64_t bits = json_int(args, "num_bits", where);
  if (type == "int" && bits == 8) return Encoding::kInt8;
  if (type == "int" && bits == 4) return Encoding::kInt4;
  if (type == "float" && bits == 8) return Encoding::kFp8E4M3;
  throw Error(
      {.what = fmt::format("numbers of type \"{}\" with {} bits are not read here", printable(type), bits),
       .where = std::string(where)});
}

QuantScheme scheme_of(const Json& group, std::string_view where) {
  QuantScheme s;
  const Json& weights = json_member(group, "weights", where);
  s.weight = encoding_of(weights, where);
  const std::string strategy = json_string(weights, "strategy", where);
  const auto refuse = [&](std::string what) {
    return Error({.what = std::move(what), .where = std::string(where)});
  };
  if (strategy == "channel") {
    s.weight_granularity = Granularity::kChannel;
  } else if (strategy == "tensor") {
    s.weight_granularity = Granularity::kTensor;
  } else if (strategy == "group") {
    s.weight_granularity = Granularity::kGroup;
    const int64_t size = json_int(weights, "group_size", where);
    if (size <= 0 || size > kMaxGroup) throw refuse(fmt::format("groups of {}", size));
    s.group = static_cast<int>(size);
  } else {
    throw refuse(fmt::format("weights of strategy \"{}\" are not read here", printable(strategy)));
  }
  if (!flag(weights, "symmetric", true)) throw refuse("weights with a zero point are not read here");
  const auto inputs = group.find("input_activations");
  if (inputs != group.end() && !inputs->is_null()) {
    s.activation = encoding_of(*inputs, where);
    s.activation_granularity = Granularity::kToken;
    if (json_string(*inputs, "strategy", where) != "token" || !flag(*inputs, "dynamic", false) ||
        !flag(*inputs, "symmetric", true))
      throw refuse("inputs other than symmetric ones with one dynamic scale a token are not read here");
  }
  if (ct_format(s).empty()) throw refuse("these weights and inputs together are not read here");
  return s;
}

// The group's tensors against what the package takes; `weight` is the one that holds the codes.
void check_layer(const DiffusersFolder& folder, const std::string& module, const CtGroup& group,
                 VerifyReport& report) {
  const bool packed = ct_format(group.scheme) == "pack-quantized";
  const std::string codes = module + (packed ? ".weight_packed" : ".weight");
  const StoredTensor* weight = folder.file.find(codes);
  if (!weight || weight->shape.size() != 2) {
    report.problems.push_back(fmt::format("{} is missing or no matrix", codes));
    return;
  }
  int64_t in = weight->shape[1];
  if (packed) {
    const StoredTensor* shape =
        expect_tensor(folder.file, module + ".weight_shape", DType::kI64, {2}, report);
    if (!shape) return;
    const Tensor values = folder.file.load(*shape);
    in = values.as<int64_t>()[1];
    if (values.as<int64_t>()[0] != weight->shape[0] || in <= 0 || in > (int64_t{1} << 32)) {
      report.problems.push_back(fmt::format("{}.weight_shape is [{}, {}], the codes have {} rows", module,
                                            values.as<int64_t>()[0], in, weight->shape[0]));
      return;
    }
  }
  if (group.scheme.group > 0 && in % group.scheme.group != 0) {
    report.problems.push_back(fmt::format("{}: {} inputs in groups of {}", module, in, group.scheme.group));
    return;
  }
  for (const OutTensor& t : ct_tensors(module, group.scheme, weight->shape[0], in)) {
    const StoredTensor* stored = expect_tensor(folder.file, t.name, t.dtype, t.shape, report);
    if (!stored || !t.name.ends_with(".weight_scale")) continue;
    // vLLM keeps the scales of packed weights in the dtype of the model.
    packed ? check_bf16_scales(folder.file, *stored, report) : check_scales(folder.file, *stored, report);
  }
  const StoredTensor* bias = folder.file.find(module + ".bias");
  if (bias && bias->shape != Shape{weight->shape[0]})
    report.problems.push_back(fmt::format("{} is {}", bias->name, to_string(bias->shape)));
}

bool is_code(DType dtype) {
  return dtype == DType::kI8 || dtype == DType::kF8E4M3;
}

std::optional<QuantizedLinear> load_linear(const CtConfig& config, const FileSource& source,
                                           const std::string& layer) {
  const CtGroup* group = config.group_of(diffusers_name(layer));
  if (!group) return std::nullopt;
  QuantizedLinear q;
  q.scheme = group->scheme;
  if (ct_format(q.scheme) == "pack-quantized") {
    const Tensor packed = source.load_as(layer + ".weight_packed", DType::kI32, 2);
    const Tensor shape = source.load_as(layer + ".weight_shape", DType::kI64, 1);
    const int bits = static_cast<int>(ct_bits(q.scheme));
    const int64_t in = shape.count() == 2 ? shape.as<int64_t>()[1] : 0;
    if (in <= 0 || in > packed.dim(1) * 32 / bits || (in * bits + 31) / 32 != packed.dim(1))
      throw Error(
          {.what = fmt::format("weight_shape does not fit weight_packed {}", to_string(packed.shape())),
           .where = layer});
    q.weight = unpack_from_int32(packed, bits, in);
  } else {
    const StoredTensor* weight = source.find(layer + ".weight");
    if (!weight || !is_code(weight->dtype)) return std::nullopt;
    q.weight = source.load(layer + ".weight");
  }
  q.scale = source.load_as(layer + ".weight_scale", DType::kF32);
  return q;
}

}  // namespace

const CtGroup* CtConfig::group_of(const std::string& module) const {
  if (ignore.count(module)) return nullptr;
  for (const CtGroup& group : groups) {
    if (group.all || group.targets.count(module)) return &group;
  }
  return nullptr;
}

CtConfig parse_ct_config(const Json& quantization, std::string_view where) {
  CtConfig out;
  const Json& groups = json_member(quantization, "config_groups", where);
  if (!groups.is_object())
    throw Error({.what = "\"config_groups\" is no JSON object", .where = std::string(where)});
  for (const auto& [name, json] : groups.items()) {
    const std::string at = fmt::format("{}: {}", where, printable(name));
    CtGroup group{.scheme = scheme_of(json, at)};
    group.targets = names_in(json, "targets", at);
    group.all = group.targets.count("Linear") > 0;
    out.groups.push_back(std::move(group));
  }
  out.ignore = names_in(quantization, "ignore", where);
  return out;
}

VerifyReport verify_compressed_tensors(const Path& path) {
  VerifyReport report;
  const DiffusersFolder folder = open_diffusers(path);
  const CtConfig config = parse_ct_config(folder.quantization, folder.where);
  std::set<std::string> kinds;
  for (const CtGroup& group : config.groups) kinds.emplace(ct_format(group.scheme));
  const std::string format = json_string(folder.quantization, "format", folder.where);
  if (format != (kinds.size() == 1 ? *kinds.begin() : "mixed-precision"))
    report.problems.push_back(
        fmt::format("\"format\" is {}, the groups are {}", printable(format),
                    kinds.size() == 1 ? *kinds.begin() : "several, which is mixed-precision"));
  std::set<std::string> modules;
  for (const StoredTensor& t : folder.file.tensors()) {
    const bool packed = t.name.ends_with(".weight_packed");
    if (!packed && !t.name.ends_with(".weight")) continue;
    const std::string module = t.name.substr(0, t.name.rfind('.'));
    const bool quantized = packed || is_code(t.dtype);
    const CtGroup* group = config.group_of(module);
    if (quantized != (group != nullptr)) {
      report.problems.push_back(fmt::format("{} is {}, and the config {} it", t.name,
                                            quantized ? "quantized" : "float",
                                            quantized ? "leaves" : "does not ignore"));
      continue;
    }
    if (group && modules.insert(module).second) check_layer(folder, module, *group, report);
  }
  check_diffusers(folder, report);
  report.checked.push_back(
      fmt::format("{} quantized Linears: groups of the config, codes, shapes, scales", modules.size()));
  return report;
}

std::unique_ptr<WeightSource> read_compressed_tensors(const Path& path) {
  const DiffusersFolder folder = open_diffusers(path);
  const auto config = std::make_shared<const CtConfig>(parse_ct_config(folder.quantization, folder.where));
  return std::make_unique<FileSource>(
      Checkpoint::open(path),
      [config](const FileSource& source, const std::string& layer) {
        return load_linear(*config, source, layer);
      },
      diffusers_name);
}

}  // namespace wanslim
