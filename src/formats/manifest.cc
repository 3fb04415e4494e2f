// SPDX-License-Identifier: Apache-2.0
#include "formats/manifest.h"

#include "base/error.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxManifest = 100'000'000;

// A number of things, so none below zero.
uint64_t count_at(const Json& object, const char* key, std::string_view where) {
  const int64_t count = json_int(object, key, where);
  if (count < 0) {
    throw Error({.what = "\"" + std::string(key) + "\": expected a count, got " + std::to_string(count),
                 .where = std::string(where)});
  }
  return static_cast<uint64_t>(count);
}

std::map<std::string, int64_t> number_map(const Json& json, const char* key, std::string_view where) {
  std::map<std::string, int64_t> out;
  const Json& object = json_member(json, key, where);
  if (!object.is_object())
    throw Error({.what = "\"" + std::string(key) + "\" is not an object", .where = std::string(where)});
  for (const auto& [name, value] : object.items()) out[name] = json_int(object, name.c_str(), where);
  return out;
}

std::map<std::string, std::string> string_map(const Json& json, std::string_view key,
                                              std::string_view where) {
  std::map<std::string, std::string> out;
  const Json& object = json_member(json, std::string(key).c_str(), where);
  if (!object.is_object())
    throw Error({.what = "\"" + std::string(key) + "\" is not an object", .where = std::string(where)});
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string())
      throw Error({.what = "\"" + name + "\" is not a string", .where = std::string(where)});
    out[name] = value.get<std::string>();
  }
  return out;
}

std::vector<ManifestLora> read_loras(const Json& manifest, std::string_view where) {
  std::vector<ManifestLora> out;
  if (!manifest.contains("loras")) return out;
  for (const Json& lora : manifest["loras"]) {
    const Json& strength = json_member(lora, "strength", where);
    if (!strength.is_number())
      throw Error({.what = "\"strength\" is not a number", .where = std::string(where)});
    out.push_back({.file = json_string(lora, "file", where),
                   .strength = strength.get<double>(),
                   .hash = json_string(lora, "xxh3_128", where)});
  }
  return out;
}

}  // namespace

std::string manifest_text(const Manifest& m) {
  Json j;
  j["tool"] = "wanslim";
  j["version"] = m.version;
  j["format"] = m.format;
  j["numerics"] = m.numerics;
  j["recipe"] = {{"name", m.recipe}, {"xxh3_128", m.recipe_hash}};
  j["source"] = {{"variant", m.variant},
                 {"tensors", m.source_tensors},
                 {"bytes", m.source_bytes},
                 {"xxh3_128", m.source_hash}};
  if (!m.rotated_outputs.empty()) j["rotated_outputs"] = m.rotated_outputs;
  if (!m.rotated_inputs.empty()) j["rotated_inputs"] = m.rotated_inputs;
  for (const ManifestLora& lora : m.loras)
    j["loras"].push_back({{"file", lora.file}, {"strength", lora.strength}, {"xxh3_128", lora.hash}});
  j["layers"] = m.layers;
  j["files"] = m.files;
  j["tensors"] = m.tensors;
  return j.dump(2) + "\n";
}

Manifest parse_manifest(std::string_view text, std::string_view where) {
  const Json j = parse_json(text, where);
  Manifest m;
  m.version = json_string(j, "version", where);
  m.format = json_string(j, "format", where);
  m.numerics = json_string(j, "numerics", where);
  const Json& recipe = json_member(j, "recipe", where);
  m.recipe = json_string(recipe, "name", where);
  m.recipe_hash = json_string(recipe, "xxh3_128", where);
  const Json& source = json_member(j, "source", where);
  m.variant = json_string(source, "variant", where);
  m.source_tensors = static_cast<int64_t>(count_at(source, "tensors", where));
  m.source_bytes = count_at(source, "bytes", where);
  m.source_hash = json_string(source, "xxh3_128", where);
  m.loras = read_loras(j, where);
  m.layers = number_map(j, "layers", where);
  if (j.contains("rotated_outputs")) m.rotated_outputs = number_map(j, "rotated_outputs", where);
  if (j.contains("rotated_inputs")) m.rotated_inputs = number_map(j, "rotated_inputs", where);
  m.files = string_map(j, "files", where);
  m.tensors = string_map(j, "tensors", where);
  return m;
}

std::optional<Manifest> read_manifest(const Path& folder) {
  const Path path = folder / kManifestName;
  if (!path_exists(path)) return std::nullopt;
  return parse_manifest(read_text(path, kMaxManifest), path.string());
}

std::string scheme_label(const QuantScheme& scheme) {
  if (scheme.weight == Encoding::kFloat) return "FLOAT";
  const std::string type = ascend_type(scheme);
  const std::string group =
      scheme.weight_granularity == Granularity::kGroup ? "_G" + std::to_string(scheme.group) : "";
  if (!type.empty()) return type + group;
  static const std::map<Encoding, std::string> kNames = {
      {Encoding::kInt8, "INT8"},   {Encoding::kInt4, "INT4"},   {Encoding::kFp8E4M3, "FP8_E4M3"},
      {Encoding::kMxFp8, "MXFP8"}, {Encoding::kMxFp4, "MXFP4"}, {Encoding::kNvFp4, "NVFP4"},
      {Encoding::kQ8_0, "Q8_0"},   {Encoding::kQ6_K, "Q6_K"},   {Encoding::kQ5_K, "Q5_K"},
      {Encoding::kQ4_K, "Q4_K"},   {Encoding::kQ4_0, "Q4_0"},   {Encoding::kQ3_K, "Q3_K"},
      {Encoding::kQ2_K, "Q2_K"}};
  return kNames.at(scheme.weight) + group;
}

}  // namespace wanslim
