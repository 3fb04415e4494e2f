// SPDX-License-Identifier: Apache-2.0
#include "cli/lora_option.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace wanslim {
namespace {

constexpr size_t kShown = 10;                   // unmatched keys of one file
constexpr uint64_t kPiece = uint64_t{4} << 20;  // bytes hashed together

void warn_unmatched(const LoraSet& loras, const Path& file, Progress& progress) {
  std::vector<std::string> keys;
  for (const UnmatchedKey& key : loras.unmatched()) {
    if (key.file == file) keys.push_back(printable(key.key));
  }
  if (keys.empty()) return;
  const size_t all = keys.size();
  keys.resize(std::min(kShown, all));
  progress.warn(fmt::format("{}: {} key{} of no tensor of this model, not merged: {}{}", file.string(), all,
                            all == 1 ? "" : "s", fmt::join(keys, ", "), all > kShown ? ", ..." : ""));
}

std::string content_hash(const Checkpoint& checkpoint) {
  Hasher hasher;
  std::vector<std::byte> piece(kPiece);
  for (const Checkpoint::OpenFile& opened : checkpoint.files()) {
    for (uint64_t at = 0; at < opened.stamp.size; at += kPiece) {
      const auto part = std::span(piece).first(std::min(kPiece, opened.stamp.size - at));
      opened.file.read_at(at, part);
      hasher.update(part);
    }
  }
  return hasher.digest();
}

}  // namespace

LoraSet open_loras(const std::vector<std::string>& arguments, const WanGeometry& geometry,
                   Progress& progress) {
  if (arguments.empty()) return {};
  std::vector<LoraFile> files;
  for (const std::string& argument : arguments) {
    files.push_back(parse_lora_argument(argument));
    for (size_t i = 0; i + 1 < files.size(); ++i) {
      if (files[i].path != files.back().path) continue;
      throw Error({.what = "the file stands twice",
                   .where = "--lora " + argument,
                   .hint = "give it once, with the sum of the strengths",
                   .kind = Error::Kind::kUsage});
    }
  }
  LoraSet loras = LoraSet::open(files, tensor_specs(geometry));
  for (size_t i = 0; i < files.size(); ++i) {
    progress.info(fmt::format("LoRA {} at {}: {}", files[i].path.string(), files[i].strength,
                              to_string(loras.contents()[i])));
    warn_unmatched(loras, files[i].path, progress);
  }
  return loras;
}

LoraSet open_loras(const std::vector<std::string>& arguments, const QuantModel& model, Progress& progress) {
  if (!arguments.empty() && model.part != ModelPart::kTransformer)
    throw Error(
        {.what = fmt::format("this is a {}, and a LoRA is merged into a transformer", name_of(model.part)),
         .where = "--lora",
         .kind = Error::Kind::kUsage});
  return open_loras(arguments, model.geometry, progress);
}

void read_merged(const LoraSet& loras, std::vector<LayerPlan>& layers) {
  for (LayerPlan& layer : layers) {
    const std::vector<std::string> names = layer.tensors();
    if (loras.touches(names[0])) layer.dtype = DType::kF32;
    if (names.size() > 1 && loras.touches(names[1])) layer.bias_dtype = DType::kF32;
    if (std::any_of(names.begin(), names.end(), [&](const auto& name) { return loras.touches(name); }))
      layer.reason += "; LoRA merged";
  }
}

uint64_t merge_memory(const LoraSet& loras, const LayerPlan& layer) {
  uint64_t bytes = 0;
  for (const std::string& name : layer.tensors()) bytes += loras.memory(name);
  return bytes;
}

Json lora_identity(const LoraSet& loras) {
  Json out = Json::array();
  for (size_t i = 0; i < loras.files().size(); ++i) {
    for (const Checkpoint::OpenFile& opened : loras.checkpoints()[i].files()) {
      out.push_back({{"file", opened.file.path().filename().string()},
                     {"bytes", opened.stamp.size},
                     {"modified_ns", opened.stamp.modified_ns},
                     {"strength", loras.files()[i].strength}});
    }
  }
  return out;
}

std::vector<ManifestLora> fingerprints(const LoraSet& loras) {
  std::vector<ManifestLora> out;
  for (size_t i = 0; i < loras.files().size(); ++i) {
    const LoraFile& file = loras.files()[i];
    out.push_back({.file = file.path.filename().string(),
                   .strength = file.strength,
                   .hash = content_hash(loras.checkpoints()[i])});
  }
  return out;
}

void check_same_loras(const LoraSet& loras, const Path& folder, VerifyReport& report) {
  const std::optional<Manifest> manifest = read_manifest(folder);
  if (!manifest || manifest->loras == fingerprints(loras)) return;
  std::string made;
  for (const ManifestLora& lora : manifest->loras)
    made += fmt::format(" --lora {}:{}", printable(lora.file), lora.strength);
  report.problems.push_back(made.empty() ? "the manifest names no LoRA: compare without --lora"
                                         : "the manifest names other LoRAs: compare with" + made);
}

}  // namespace wanslim
