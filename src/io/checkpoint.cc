// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "io/strided.h"
#include "io/torch_zip.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kIndexEnding = ".safetensors.index.json";
constexpr std::string_view kFileEnding = ".safetensors";
constexpr std::string_view kGgufEnding = ".gguf";

bool is_index(const Path& path) {
  return path.filename().string().ends_with(kIndexEnding);
}
bool is_safetensors(const Path& path) {
  return path.filename().string().ends_with(kFileEnding);
}

bool has_torch_ending(const Path& path) {
  const std::string ending = path.extension().string();
  return ending == ".pth" || ending == ".pt" || ending == ".ckpt" || ending == ".bin";
}

bool looks_like_gguf(const File& file, uint64_t bytes) {
  std::array<std::byte, 4> magic{};
  if (bytes < magic.size()) return false;
  file.read_at(0, magic);
  return std::memcmp(magic.data(), "GGUF", magic.size()) == 0;
}

// The header's length is not known before it is read: twice as much each time until it is whole.
GgufHeader read_gguf_header(const File& file, uint64_t bytes) {
  for (uint64_t size = uint64_t{1} << 20;; size *= 2) {
    std::vector<std::byte> prefix(static_cast<size_t>(std::min({size, bytes, kMaxGgufHeader})));
    file.read_at(0, prefix);
    if (auto header = parse_gguf_header(prefix, bytes, file.path().string())) return *std::move(header);
  }
}

// Shape of a tensor as ComfyUI-GGUF reads it: a converter that had to change it notes the first one.
Shape original_shape(const GgufTensor& tensor, const GgufHeader& header) {
  const auto note = header.metadata.find("comfy.gguf.orig_shape." + tensor.name);
  if (note == header.metadata.end() || !tensor.type->dtype) return tensor.shape;
  Shape shape;
  std::istringstream list(note->second);
  for (std::string extent; std::getline(list, extent, ',');) {
    if (extent.empty() || extent.size() > 9 || extent.find_first_not_of("0123456789") != std::string::npos)
      return tensor.shape;
    shape.push_back(std::stoll(extent));
  }
  int64_t count = 1;
  for (const int64_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) return tensor.shape;
  }
  return count == element_count(tensor.shape) ? shape : tensor.shape;
}

// Regular files of a folder with this ending, by name; hidden ones are somebody's unfinished work.
std::vector<Path> files_ending(const Path& folder, std::string_view ending) {
  std::vector<Path> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(ending) && !name.starts_with(".") && entry.is_regular_file())
      out.push_back(entry.path());
  }
  if (error) throw system_error("cannot list the folder", folder.string(), error.value());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::map<std::string, std::string> parse_checkpoint_index(std::string_view text, std::string_view where) {
  const Json root = parse_json(text, where);
  const Json& map = json_member(root, "weight_map", where);
  if (!map.is_object() || map.empty())
    throw Error({.what = "\"weight_map\" is not an object with entries", .where = std::string(where)});
  std::map<std::string, std::string> out;
  for (const auto& [tensor, file] : map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos ||
        !is_safetensors(name)) {
      throw Error({.what = fmt::format(
                       "\"{}\" is mapped to {}, expected the name of a .safetensors file in the same folder",
                       tensor, file.dump()),
                   .where = std::string(where)});
    }
    out[tensor] = name;
  }
  return out;
}

Checkpoint Checkpoint::open(const Path& path) {
  Checkpoint c;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw Error({.what = "there is no such file or folder",
                 .where = path.string(),
                 .hint = "check the spelling of the path"});
  }
  c.folder_ = path.has_parent_path() ? path.parent_path() : Path(".");
  if (std::filesystem::is_directory(status)) {
    c.open_folder(path);
  } else if (is_index(path)) {
    c.open_index(path);
  } else {
    c.add_file(path);
  }
  c.finish();
  return c;
}

void Checkpoint::open_folder(const Path& folder) {
  folder_ = folder;
  const std::vector<Path> indexes = files_ending(folder, kIndexEnding);
  if (indexes.size() > 1) {
    throw Error({.what = fmt::format("the folder holds {} index files, {} and {} among them", indexes.size(),
                                     indexes[0].filename().string(), indexes[1].filename().string()),
                 .where = folder.string(),
                 .hint = "name the index file itself"});
  }
  if (indexes.size() == 1) return open_index(indexes[0]);
  const std::vector<Path> files = files_ending(folder, kFileEnding);
  if (files.empty()) {
    const std::vector<Path> gguf = files_ending(folder, kGgufEnding);
    if (gguf.size() == 1) return add_file(gguf[0]);
    if (gguf.size() > 1) {
      throw Error({.what = fmt::format("the folder holds {} .gguf files", gguf.size()),
                   .where = folder.string(),
                   .hint = "name the file itself"});
    }
  }
  if (files.empty() && is_folder(folder / "transformer")) return open_folder(folder / "transformer");
  if (files.empty()) {
    throw Error(
        {.what = "the folder holds no .safetensors file",
         .where = folder.string(),
         .hint =
             "give the folder of the transformer's float weights (diffusion_pytorch_model*.safetensors)"});
  }
  // The published name of a whole checkpoint; other files beside it are none of its parts.
  const Path whole = folder / "diffusion_pytorch_model.safetensors";
  if (std::find(files.begin(), files.end(), whole) != files.end()) return add_file(whole);
  for (const Path& file : files) add_file(file);
}

void Checkpoint::open_index(const Path& index) {
  const auto weight_map = parse_checkpoint_index(read_text(index, kMaxIndexBytes), index.string());
  std::vector<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const Path folder = index.has_parent_path() ? index.parent_path() : Path(".");
  for (const std::string& name : names) {
    if (!path_exists(folder / name)) {
      throw Error({.what = fmt::format("the shard {} is missing", name),
                   .where = index.string(),
                   .hint = "download it, or the whole checkpoint again"});
    }
    add_file(folder / name);
  }
  size_t found = 0;
  for (const StoredTensor& tensor : tensors_) {
    auto it = weight_map.find(tensor.name);
    const std::string file = files_[tensor.file].file.path().filename().string();
    if (it == weight_map.end())
      throw Error({.what = fmt::format("\"{}\" of {} is not in the index", tensor.name, file),
                   .where = index.string()});
    if (it->second != file) {
      throw Error({.what = fmt::format("\"{}\" should be in {}, it is in {}", tensor.name, it->second, file),
                   .where = index.string()});
    }
    ++found;
  }
  if (found == weight_map.size()) return;
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& [tensor, file] : weight_map) {
    if (!find(tensor))
      throw Error({.what = fmt::format("\"{}\" is not in {}", tensor, file), .where = index.string()});
  }
}

void Checkpoint::add_file(const Path& path) {
  OpenFile opened{.file = File::open_read(path), .stamp = {}};
  opened.stamp = opened.file.stamp();
  if (!is_safetensors(path) &&
      (path.extension() == kGgufEnding || looks_like_gguf(opened.file, opened.stamp.size)))
    return add_gguf(std::move(opened));
  const bool torch = !is_safetensors(path) && (has_torch_ending(path) || looks_like_torch(opened.file));
  torch ? add_torch(std::move(opened)) : add_safetensors(std::move(opened));
}

void Checkpoint::add_torch(OpenFile opened) {
  for (TorchEntry& e : read_torch_zip(opened.file)) {
    const uint64_t bytes = static_cast<uint64_t>(element_count(e.shape)) * size_of(e.dtype);
    tensors_.push_back({.name = std::move(e.name),
                        .dtype = e.dtype,
                        .shape = std::move(e.shape),
                        .file = files_.size(),
                        .offset = e.offset,
                        .bytes = bytes,
                        .strides = std::move(e.strides)});
  }
  files_.push_back(std::move(opened));
}

void Checkpoint::add_gguf(OpenFile opened) {
  GgufHeader header = read_gguf_header(opened.file, opened.stamp.size);
  for (GgufTensor& t : header.tensors) {
    StoredTensor stored{.name = t.name,
                        .dtype = t.type->dtype.value_or(DType::kU8),
                        .shape = original_shape(t, header),
                        .file = files_.size(),
                        .offset = t.offset,
                        .bytes = t.bytes};
    if (!t.type->dtype) {
      stored.block_type = t.type->name;
      stored.shape.back() = t.shape.back() / t.type->elements * t.type->bytes;
    }
    tensors_.push_back(std::move(stored));
  }
  metadata_.merge(header.metadata);
  files_.push_back(std::move(opened));
}

void Checkpoint::add_safetensors(OpenFile opened) {
  const std::string where = opened.file.path().string();
  std::array<std::byte, 8> prefix{};
  if (opened.stamp.size < 8)
    throw Error({.what = fmt::format("the file has {} bytes, too few for safetensors", opened.stamp.size),
                 .where = where});
  opened.file.read_at(0, prefix);
  std::string json(safetensors_header_bytes(prefix, opened.stamp.size, where), '\0');
  opened.file.read_at(8, std::as_writable_bytes(std::span(json)));
  SafetensorsHeader header = parse_safetensors_header(json, opened.stamp.size, where);
  for (SafetensorsEntry& e : header.entries) {
    tensors_.push_back({.name = std::move(e.name),
                        .dtype = e.dtype,
                        .shape = std::move(e.shape),
                        .file = files_.size(),
                        .offset = e.offset,
                        .bytes = e.bytes});
  }
  metadata_.merge(header.metadata);
  files_.push_back(std::move(opened));
}

void Checkpoint::finish() {
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].name != tensors_[i - 1].name) continue;
    throw Error({.what = fmt::format("the tensor stands in {} too",
                                     files_[tensors_[i - 1].file].file.path().filename().string()),
                 .where = describe(tensors_[i]),
                 .hint = "the folder mixes checkpoints; name one file or its index"});
  }
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  auto it = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                             [](const StoredTensor& t, std::string_view n) { return t.name < n; });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

Tensor Checkpoint::load(const StoredTensor& tensor) const {
  Tensor out(tensor.dtype, tensor.shape);
  read(tensor, 0, out.raw());
  return out;
}

Tensor Checkpoint::load_rows(const StoredTensor& tensor, int64_t first, int64_t count) const {
  CHECK(!tensor.shape.empty() && first >= 0 && count >= 0 && first + count <= tensor.shape[0]);
  Shape shape = tensor.shape;
  shape[0] = count;
  Tensor out(tensor.dtype, shape);
  const uint64_t row_bytes = tensor.bytes / static_cast<uint64_t>(std::max<int64_t>(1, tensor.shape[0]));
  read(tensor, static_cast<uint64_t>(first) * row_bytes, out.raw());
  return out;
}

void Checkpoint::read(const StoredTensor& tensor, uint64_t offset, std::span<std::byte> bytes) const {
  CHECK(offset + bytes.size() <= tensor.bytes);
  try {
    const File& file = files_[tensor.file].file;
    if (tensor.strides.empty()) return file.read_at(tensor.offset + offset, bytes);
    const size_t width = size_of(tensor.dtype);
    CHECK(offset % width == 0 && bytes.size() % width == 0);
    Buffer touched(strided_extent(tensor.shape, tensor.strides) * width);
    const std::span<std::byte> source(touched.data(), touched.size());
    file.read_at(tensor.offset, source);
    gather_strided(source, tensor.shape, tensor.strides, width, offset / width, bytes);
  } catch (Error& e) {
    e.parts.where = describe(tensor);
    throw Error(e.parts);
  }
}

void Checkpoint::prefetch(const StoredTensor& tensor) const {
  uint64_t bytes = tensor.bytes;
  if (!tensor.strides.empty()) bytes = strided_extent(tensor.shape, tensor.strides) * size_of(tensor.dtype);
  files_[tensor.file].file.prefetch(tensor.offset, bytes);
}

std::string Checkpoint::describe(const StoredTensor& tensor) const {
  return fmt::format("{}: \"{}\"", files_[tensor.file].file.path().string(), tensor.name);
}

void Checkpoint::check_unchanged() const {
  for (const OpenFile& opened : files_) {
    if (opened.file.stamp() == opened.stamp && stamp_of(opened.file.path()) == opened.stamp) continue;
    throw Error({.what = "the file was changed while it was read",
                 .where = opened.file.path().string(),
                 .hint = "wait until it is complete, then run again with --overwrite"});
  }
}

}  // namespace wanslim
