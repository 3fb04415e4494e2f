// SPDX-License-Identifier: Apache-2.0
#include "models/synth.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/spelling.h"
#include "base/threads.h"
#include "io/safetensors.h"
#include "kernels/convert.h"
#include "models/synth_parts.h"
#include "models/synth_values.h"
#include "models/wan_config.h"
#include "models/wan_geometry.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr uint64_t kShardBytes = 10'000'000'000;
constexpr int64_t kChunk = 1 << 20;  // elements that a thread makes and writes at a time
constexpr int kMaxShards = 9999;
constexpr int64_t kMaxLayers = 1024;
constexpr std::string_view kStem = "diffusion_pytorch_model", kComfyStem = "wan2.1_synth_";
constexpr std::string_view kUnfinished = ".part";

// One tensor on its way to a file.
struct Item {
  TensorSpec spec;
  std::string name;  // in the naming of the checkpoint
  DType dtype = DType::kF32;
  uint64_t bytes = 0;
};

DType dtype_of(const TensorSpec& spec, const SynthOptions& o) {
  switch (o.dtype) {
    case SynthDType::kF32:
      return DType::kF32;
    case SynthDType::kBF16:
      return DType::kBF16;
    case SynthDType::kF16:
      return DType::kF16;
    case SynthDType::kMixed:
      break;
  }
  if (!o.geometry.vace_layers.empty()) return spec.name.starts_with("vace_") ? DType::kBF16 : DType::kF32;
  return spec.in_block() && spec.is_linear_weight() ? DType::kBF16 : DType::kF32;
}

std::vector<Item> items_of(const SynthOptions& o) {
  std::vector<Item> items;
  for (TensorSpec& spec : tensor_specs(o.geometry)) {
    Item item{.spec = {}, .name = *name_in(o.naming, spec.name), .dtype = dtype_of(spec, o)};
    item.bytes = static_cast<uint64_t>(element_count(spec.shape)) * size_of(item.dtype);
    item.spec = std::move(spec);
    items.push_back(std::move(item));
  }
  return items;
}

// Splits the items, in their order, into `count` runs of about equal size, none of them empty.
std::vector<std::vector<Item>> split(std::vector<Item> items, size_t count) {
  uint64_t total = 0, before = 0;
  for (const Item& item : items) total += item.bytes;
  std::vector<std::vector<Item>> out(count);
  size_t shard = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const bool past = before + items[i].bytes / 2 > total / count * (shard + 1);
    const bool needed = items.size() - i < count - shard;  // one for each shard after this one
    if (!out[shard].empty() && shard + 1 < count && (past || needed)) ++shard;
    before += items[i].bytes;
    out[shard].push_back(std::move(items[i]));
  }
  return out;
}

// A file of weights that is written under a hidden temporary name; without keep() it is removed again.
class PendingFile {
 public:
  PendingFile(const Path& folder, const std::string& name, std::vector<Item> items)
      : final_(folder / name),
        temporary_(folder / ("." + name + std::string(kUnfinished))),
        items_(std::move(items)) {
    std::vector<SafetensorsEntry> entries;
    for (const Item& item : items_)
      entries.push_back({.name = item.name, .dtype = item.dtype, .shape = item.spec.shape});
    layout_ = layout_safetensors(std::move(entries), {{"format", "pt"}});
  }
  ~PendingFile() {
    std::error_code ignored;
    if (file_.is_open()) std::filesystem::remove(temporary_, ignored);
  }
  PendingFile(PendingFile&&) = default;

  void open() {
    file_ = File::create(temporary_);
    file_.reserve(layout_.file_bytes);
    file_.write_at(0, std::as_bytes(std::span(layout_.head)));
  }
  void keep() {
    rename_file(temporary_, final_);
    file_.close();
  }
  File& file() { return file_; }
  const Path& path() const { return final_; }
  const std::vector<Item>& items() const { return items_; }
  uint64_t bytes() const { return layout_.file_bytes; }
  uint64_t offset(const std::string& name) const {
    for (const SafetensorsEntry& e : layout_.entries)
      if (e.name == name) return e.offset;
    CHECK(false);
    return 0;
  }

 private:
  Path final_, temporary_;
  std::vector<Item> items_;
  SafetensorsLayout layout_;
  File file_;
};

// A stretch of one tensor and where it goes.
struct Piece {
  File* file;
  const Item* item;
  int64_t first, count;
  uint64_t offset;
};

std::vector<Piece> pieces_of(std::vector<PendingFile>& files) {
  std::vector<Piece> out;
  for (PendingFile& file : files) {
    for (const Item& item : file.items()) {
      const int64_t count = element_count(item.spec.shape);
      const uint64_t start = file.offset(item.name);
      for (int64_t first = 0; first < count; first += kChunk) {
        out.push_back({.file = &file.file(),
                       .item = &item,
                       .first = first,
                       .count = std::min(kChunk, count - first),
                       .offset = start + static_cast<uint64_t>(first) * size_of(item.dtype)});
      }
    }
  }
  return out;
}

void narrow(DType dtype, std::span<const float> values, std::span<uint16_t> out) {
  if (dtype == DType::kBF16) return narrow_bf16(values, out);
  for (size_t i = 0; i < values.size(); ++i) out[i] = float_to_f16(values[i]);
}

void write_piece(const Piece& piece, uint64_t seed, std::vector<float>& values,
                 std::vector<uint16_t>& halves) {
  const size_t count = static_cast<size_t>(piece.count);
  values.resize(count);
  SynthTensor(seed, piece.item->spec).fill(piece.first, values);
  std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  if (piece.item->dtype != DType::kF32) {
    halves.resize(count);
    narrow(piece.item->dtype, values, halves);
    bytes = std::as_bytes(std::span(halves));
  }
  piece.file->write_at(piece.offset, bytes);
  piece.file->start_writeback(piece.offset, bytes.size());
}

bool is_part(std::string_view name) {
  return name == "models_t5_umt5-xxl-enc-bf16.safetensors" || name == "Wan2.1_VAE.safetensors" ||
         name == "models_clip.safetensors";
}

bool is_ours(const std::string& name) {
  return name == "config.json" || is_part(name) || name == fmt::format("{}.safetensors.index.json", kStem) ||
         (name.ends_with(".safetensors") && (name.starts_with(kStem) || name.starts_with(kComfyStem)));
}

// What a run that was killed leaves behind.
bool is_unfinished(const std::string& name) {
  if (!name.starts_with(".") || !name.ends_with(kUnfinished)) return false;
  const std::string_view whole = std::string_view(name).substr(1, name.size() - 1 - kUnfinished.size());
  return whole.starts_with(kStem) || whole.starts_with(kComfyStem) || is_part(whole);
}

// Makes the folder. Error if something is there that the new files would replace or mix with.
// Returns the files of an earlier checkpoint, which go when the new one is complete.
std::vector<Path> prepare_folder(const Path& folder, bool overwrite) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw system_error("cannot make the folder", folder.string(), error.value());
  std::vector<Path> old;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_unfinished(name)) {
      remove_file(entry.path());
      continue;
    }
    if (!overwrite) {
      throw Error({.what = fmt::format("the folder is not empty, it holds {}", printable(name)),
                   .where = folder.string(),
                   .hint = "give another folder, or --overwrite to replace the checkpoint in it"});
    }
    if (is_ours(name)) {
      old.push_back(entry.path());
    } else if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
      throw Error({.what = fmt::format("the folder holds other weights: {}", printable(name)),
                   .where = folder.string(),
                   .hint = "give another folder"});
    }
  }
  if (error) throw system_error("cannot list the folder", folder.string(), error.value());
  return old;
}

std::vector<PendingFile> plan_parts(const Path& folder, const SynthOptions& o) {
  std::vector<PendingFile> files;
  if (!o.parts) return files;
  if (o.naming != Naming::kOfficial) {
    throw Error({.what = "the parts beside the transformer have the official names and folders alone",
                 .hint = "leave --naming out, or give --parts transformer",
                 .kind = Error::Kind::kUsage});
  }
  for (SynthPart& part : synth_parts(o.geometry)) {
    std::vector<Item> items;
    for (TensorSpec& spec : part.tensors) {
      Item item{.spec = {}, .name = spec.name, .dtype = part.dtype};
      item.bytes = static_cast<uint64_t>(element_count(spec.shape)) * size_of(item.dtype);
      item.spec = std::move(spec);
      items.push_back(std::move(item));
    }
    CHECK(is_part(part.file));
    files.emplace_back(folder, part.file, std::move(items));
  }
  return files;
}

std::vector<PendingFile> plan_files(const Path& folder, const SynthOptions& o) {
  std::vector<Item> items = items_of(o);
  uint64_t total = 0;
  for (const Item& item : items) total += item.bytes;
  const bool one_file = o.naming == Naming::kComfyUi;
  const auto usage = [](std::string what) {
    throw Error({.what = std::move(what), .hint = {}, .kind = Error::Kind::kUsage});
  };
  if (o.shards < 0 || o.shards > kMaxShards || static_cast<size_t>(o.shards) > items.size())
    usage(fmt::format("{} shards for {} tensors: expected 1 to {}", o.shards, items.size(),
                      std::min<size_t>(items.size(), kMaxShards)));
  if (one_file && o.shards > 1) usage("ComfyUI loads one file, not shards");
  const size_t automatic =
      one_file ? 1 : std::min<size_t>((total + kShardBytes - 1) / kShardBytes, items.size());
  const size_t count = o.shards > 0 ? static_cast<size_t>(o.shards) : automatic;
  std::vector<PendingFile> files;
  std::vector<std::vector<Item>> shards = split(std::move(items), count);
  for (size_t i = 0; i < count; ++i) {
    std::string name = fmt::format("{}.safetensors", kStem);
    if (count > 1) name = fmt::format("{}-{:05}-of-{:05}.safetensors", kStem, i + 1, count);
    if (one_file) name = fmt::format("{}{}.safetensors", kComfyStem, model_type(o.geometry));
    files.emplace_back(folder, name, std::move(shards[i]));
  }
  return files;
}

// Readers without config.json must come to the same sizes.
void check_derivable(const SynthOptions& o) {
  ShapeMap shapes;
  for (TensorSpec& spec : tensor_specs(o.geometry))
    shapes.emplace(std::move(spec.name), std::move(spec.shape));
  const WanGeometry seen = geometry_from_shapes(shapes, "synth");
  if (seen.vace_layers == o.geometry.vace_layers && seen.heads == o.geometry.heads) return;
  throw Error({.what =
                   "ComfyUI files have no config.json, and without one this number of blocks does not tell "
                   "which of them have a VACE hint",
               .hint = "give another number of blocks or another naming",
               .kind = Error::Kind::kUsage});
}

std::string index_text(std::span<const PendingFile> files) {
  uint64_t total = 0;
  std::map<std::string, std::string> map;
  for (const PendingFile& file : files) {
    for (const Item& item : file.items()) {
      total += item.bytes;
      map[item.name] = file.path().filename().string();
    }
  }
  Json j;
  j["metadata"]["total_size"] = total;
  j["weight_map"] = map;
  return j.dump(2) + "\n";
}

void write_weights(std::vector<PendingFile>& files, uint64_t seed, Progress& progress) {
  for (PendingFile& file : files) file.open();
  const std::vector<Piece> pieces = pieces_of(files);
  // A few plain threads, each making one stretch while others wait for the disk.
  run_workers(threads(), static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    throw_if_interrupted();
    thread_local std::vector<float> values;
    thread_local std::vector<uint16_t> halves;
    const Piece& piece = pieces[static_cast<size_t>(i)];
    write_piece(piece, seed, values, halves);
    progress.advance(static_cast<uint64_t>(piece.count) * size_of(piece.item->dtype),
                     piece.item->spec.unit.empty() ? piece.item->spec.layer : piece.item->spec.unit);
  });
  for (PendingFile& file : files) {
    throw_if_interrupted();
    file.file().sync();
  }
}

}  // namespace

SynthDType synth_dtype_from_name(std::string_view name) {
  const std::vector<std::string> known = {"f32", "bf16", "f16", "mixed"};
  for (size_t i = 0; i < known.size(); ++i)
    if (name == known[i]) return static_cast<SynthDType>(i);
  throw Error({.what = fmt::format("unknown dtype \"{}\"{}", printable(name), did_you_mean(name, known)),
               .hint = "the dtypes are f32, bf16, f16, mixed",
               .kind = Error::Kind::kUsage});
}

WanGeometry with_layers(WanGeometry g, int64_t layers) {
  if (layers < 1 || layers > kMaxLayers) {
    throw Error({.what = fmt::format("{} blocks: expected 1 to {}", layers, kMaxLayers),
                 .hint = {},
                 .kind = Error::Kind::kUsage});
  }
  g.layers = layers;
  std::erase_if(g.vace_layers, [&](int64_t layer) { return layer >= layers; });
  return g;
}

SynthResult write_synth(const Path& folder, const SynthOptions& o, Progress& progress) {
  if (o.naming == Naming::kComfyUi) check_derivable(o);
  std::vector<PendingFile> files = plan_files(folder, o);
  const size_t shards = files.size();
  for (PendingFile& part : plan_parts(folder, o)) files.push_back(std::move(part));
  SynthResult result;
  uint64_t weights = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const PendingFile& file = files[i];
    for (const Item& item : file.items()) weights += item.bytes;
    (i < shards ? result.files : result.beside).push_back(file.path());
    (i < shards ? result.bytes : result.beside_bytes) += file.bytes();
    if (i >= shards) continue;
    result.tensors += file.items().size();
    for (const Item& item : file.items()) result.parameters += element_count(item.spec.shape);
  }
  const std::vector<Path> old = prepare_folder(folder, o.overwrite);
  const uint64_t needed = result.bytes + result.beside_bytes;
  if (const uint64_t free = free_space(folder); free < needed) {
    throw Error({.what = fmt::format("the checkpoint needs {} bytes, the disk has {} free", needed, free),
                 .where = folder.string(),
                 .hint = "make room, or ask for fewer --layers or a smaller --dtype",
                 .kind = Error::Kind::kSystem});
  }
  progress.start("synth", weights);
  write_weights(files, o.seed, progress);
  for (const Path& path : old) remove_file(path);
  for (PendingFile& file : files) file.keep();
  if (shards > 1) {
    write_file_atomic(folder / fmt::format("{}.safetensors.index.json", kStem),
                      index_text(std::span(files).first(shards)));
  }
  if (o.naming == Naming::kOfficial) write_file_atomic(folder / "config.json", config_json_text(o.geometry));
  if (o.naming == Naming::kDiffusers)
    write_file_atomic(folder / "config.json", diffusers_config_json_text(o.geometry));
  if (o.parts) {
    const Path tokenizer = folder / kSynthTokenizer;
    std::filesystem::create_directories(tokenizer.parent_path());
    write_file_atomic(tokenizer, synth_tokenizer_text());
    result.beside.push_back(tokenizer);
  }
  sync_folder(folder);
  progress.finish();
  return result;
}

}  // namespace wanslim
