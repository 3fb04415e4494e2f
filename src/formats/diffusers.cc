// SPDX-License-Identifier: Apache-2.0
#include "formats/diffusers.h"

#include <fmt/format.h>

#include "base/error.h"
#include "config/wan_names.h"
#include "formats/model_checks.h"
#include "formats/shards.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxConfig = uint64_t{16} << 20;
constexpr char kQuantization[] = "quantization_config";

}  // namespace

std::string diffusers_name(std::string_view official) {
  const auto name = name_in(Naming::kDiffusers, official);
  // The names of a job come from models/names.h, which the table covers.
  return name ? *name : std::string(official);
}

std::vector<OutTensor> diffusers_float_tensors(const LayerPlan& layer) {
  std::vector<OutTensor> out = float_tensors(layer);
  for (OutTensor& t : out) {
    if (t.name.starts_with("time_embedding.")) t.dtype = DType::kF32;
    t.name = diffusers_name(t.name);
  }
  return out;
}

std::vector<FileLayout> diffusers_layout(const std::vector<OutTensor>& tensors, const FormatJob& job) {
  return sharded_files(std::string(kDiffusersStem), tensors, job.shard_bytes);
}

std::vector<Sidecar> diffusers_sidecars(const std::vector<OutTensor>& tensors, const FormatJob& job,
                                        Json quantization) {
  std::vector<Sidecar> out = shard_index(std::string(kDiffusersStem), tensors, job.shard_bytes);
  Json config = parse_json(diffusers_config_json_text(job.geometry), kDiffusersConfig);
  config[kQuantization] = std::move(quantization);
  out.push_back({.name = std::string(kDiffusersConfig), .text = config.dump(2) + "\n"});
  return out;
}

bool has_quant_method(const Path& folder, std::string_view method) {
  const Path path = folder / kDiffusersConfig;
  if (!is_folder(folder) || !is_file(path)) return false;
  try {
    const Json config = parse_json(read_text(path, kMaxConfig), path.string());
    return json_string(json_member(config, kQuantization, path.string()), "quant_method", path.string()) ==
           method;
  } catch (const Error&) {
    return false;
  }
}

const StoredTensor* DiffusersFolder::find(std::string_view name) const {
  return file.find(diffusers_name(name));
}

DiffusersFolder open_diffusers(const Path& folder) {
  DiffusersFolder out;
  out.file = Checkpoint::open(folder);
  out.where = (folder / kDiffusersConfig).string();
  out.config = parse_json(read_text(folder / kDiffusersConfig, kMaxConfig), out.where);
  out.quantization = json_member(out.config, kQuantization, out.where);
  for (const StoredTensor& t : out.file.tensors()) {
    if (auto name = official_name(Naming::kDiffusers, t.name)) {
      constexpr std::string_view kPacked = "_packed";
      if (name->ends_with(".weight_packed"))
        out.official.insert(name->substr(0, name->size() - kPacked.size()));
      out.official.insert(std::move(*name));
    } else {
      out.foreign.push_back(t.name);
    }
  }
  return out;
}

void check_diffusers(const DiffusersFolder& folder, VerifyReport& report) {
  const std::string type = json_string(folder.config, "_class_name", folder.where);
  if (type != "WanTransformer3DModel" && type != "WanVACETransformer3DModel")
    report.problems.push_back(fmt::format("\"_class_name\" is {}, no Wan transformer", printable(type)));
  for (const std::string& name : folder.foreign)
    report.problems.push_back(fmt::format("{} is no tensor of a Wan transformer", printable(name)));
  const int64_t layers = json_int(folder.config, "num_layers", folder.where);
  std::set<int64_t> blocks;
  for (const std::string& name : folder.official) {
    const auto place = parse_block_path(name);
    if (place && place->list == "blocks") blocks.insert(place->index);
  }
  if (layers != static_cast<int64_t>(blocks.size()))
    report.problems.push_back(
        fmt::format("config.json says {} blocks, the file has {}", layers, blocks.size()));
  const int64_t heads = json_int(folder.config, "num_attention_heads", folder.where);
  const int64_t head = json_int(folder.config, "attention_head_dim", folder.where);
  const StoredTensor* patch = folder.find("patch_embedding.bias");
  if (patch && (heads <= 0 || patch->shape != Shape{head * heads}))
    report.problems.push_back(fmt::format("config.json says {} heads of {}, patch_embedding.bias is {}",
                                          heads, head, to_string(patch->shape)));
  check_whole_model(folder.official, report);
  report.checked.push_back(fmt::format("{} tensors of the transformer under diffusers names, config.json",
                                       folder.official.size()));
}

}  // namespace wanslim
