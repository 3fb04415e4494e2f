// SPDX-License-Identifier: Apache-2.0
// For tests: a folder that goes away with its scope, and small files to put there.
#pragma once
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

#include "io/file.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace wanslim::testing {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "wanslim_test_XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  Path operator/(const std::string& name) const { return path_ / name; }
  const Path& path() const { return path_; }

 private:
  Path path_;
};

inline void write_text(const Path& path, std::string_view text) {
  File::create(path).write_at(0, std::as_bytes(std::span(text)));
}

inline Tensor f32(Shape shape, float first = 0, float step = 1) {
  Tensor t(DType::kF32, std::move(shape));
  float value = first;
  for (float& x : t.as<float>()) {
    x = value;
    value += step;
  }
  return t;
}

inline void write_safetensors(const Path& path, const std::map<std::string, Tensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    entries.push_back({.name = name, .dtype = tensor.dtype(), .shape = tensor.shape()});
  }
  const SafetensorsLayout layout = layout_safetensors(std::move(entries), metadata);
  File file = File::create(path);
  file.write_at(0, std::as_bytes(std::span(layout.head)));
  for (const SafetensorsEntry& entry : layout.entries)
    file.write_at(entry.offset, tensors.at(entry.name).raw());
}

}  // namespace wanslim::testing
