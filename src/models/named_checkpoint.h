// SPDX-License-Identifier: Apache-2.0
// A checkpoint whose tensors are found under official names, whatever the file calls them.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace wanslim {

class NamedCheckpoint : public WeightSource {
 public:
  // `official` gives the official name of a tensor of the file, nullopt for one to leave out; null: all under
  // their own names.
  using Rename = std::function<std::optional<std::string>(std::string_view name)>;
  explicit NamedCheckpoint(Checkpoint file, const Rename& official = nullptr);

  bool has(std::string_view tensor) const override { return by_name_.contains(tensor); }
  Shape shape(std::string_view tensor) const override { return at(tensor).shape; }
  DType dtype(std::string_view tensor) const override { return at(tensor).dtype; }
  Tensor load(std::string_view tensor) const override { return file_.load(at(tensor)); }
  bool reads_rows(std::string_view tensor) const override { return at(tensor).strides.empty(); }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override {
    return file_.load_rows(at(tensor), first, count);
  }
  const Checkpoint& file() const { return file_; }
  // Null if it is missing.
  const StoredTensor* find(std::string_view tensor) const;

 private:
  const StoredTensor& at(std::string_view tensor) const;  // Error if it is missing

  Checkpoint file_;
  std::map<std::string, const StoredTensor*, std::less<>>
      by_name_;  // into file_'s list, which stays when it moves
};

// `path` itself if it is no folder, else the first of `names` that is in it. Error listing them if there is
// none; `what` says what is looked for: "VAE".
Path find_in_folder(const Path& path, std::string_view what, std::span<const std::string_view> names);

}  // namespace wanslim
