// SPDX-License-Identifier: Apache-2.0
#include "formats/shards.h"

#include <fmt/format.h>

namespace wanslim {
namespace {

uint64_t bytes_of(const OutTensor& tensor) {
  return static_cast<uint64_t>(element_count(tensor.shape)) * size_of(tensor.dtype);
}

// The file of each tensor, counted from 0.
std::vector<size_t> split(const std::vector<OutTensor>& tensors, uint64_t limit) {
  std::vector<size_t> out;
  size_t file = 0;
  uint64_t filled = 0;
  for (const OutTensor& tensor : tensors) {
    if (filled > 0 && filled + bytes_of(tensor) >= limit) {
      ++file;
      filled = 0;
    }
    filled += bytes_of(tensor);
    out.push_back(file);
  }
  return out;
}

std::string shard_name(const std::string& stem, size_t file, size_t count) {
  return fmt::format("{}-{:05}-of-{:05}.safetensors", stem, file + 1, count);
}

}  // namespace

std::vector<FileLayout> sharded_files(const std::string& stem, std::vector<OutTensor> tensors,
                                      uint64_t limit) {
  if (limit == 0) return {safetensors_file(stem + ".safetensors", tensors)};
  const std::vector<size_t> files = split(tensors, limit);
  const size_t count = files.back() + 1;
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i].file = files[i];
  std::vector<FileLayout> out;
  for (size_t f = 0; f < count; ++f) out.push_back(safetensors_file(shard_name(stem, f, count), tensors, f));
  return out;
}

std::vector<Sidecar> shard_index(const std::string& stem, const std::vector<OutTensor>& tensors,
                                 uint64_t limit) {
  if (limit == 0) return {};
  const std::vector<size_t> files = split(tensors, limit);
  Json map = Json::object();
  uint64_t total = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    map[tensors[i].name] = shard_name(stem, files[i], files.back() + 1);
    total += bytes_of(tensors[i]);
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  return {{.name = stem + ".safetensors.index.json", .text = index.dump(2)}};
}

}  // namespace wanslim
