// SPDX-License-Identifier: Apache-2.0
#include "models/named_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace wanslim {

NamedCheckpoint::NamedCheckpoint(Checkpoint file, const Rename& official) : file_(std::move(file)) {
  for (const StoredTensor& tensor : file_.tensors()) {
    const auto name = official ? official(tensor.name) : tensor.name;
    if (name) by_name_.emplace(*name, &tensor);
  }
}

const StoredTensor* NamedCheckpoint::find(std::string_view tensor) const {
  const auto it = by_name_.find(tensor);
  return it == by_name_.end() ? nullptr : it->second;
}

const StoredTensor& NamedCheckpoint::at(std::string_view tensor) const {
  const auto it = by_name_.find(tensor);
  if (it != by_name_.end()) return *it->second;
  throw Error({.what = fmt::format("the tensor \"{}\" is missing", printable(tensor)),
               .where = file_.files().empty() ? "" : file_.files()[0].file.path().string()});
}

Path find_in_folder(const Path& path, std::string_view what, std::span<const std::string_view> names) {
  if (!is_folder(path)) return path;
  for (const std::string_view name : names) {
    if (path_exists(path / name)) return path / name;
  }
  throw Error({.what = fmt::format("the folder has no {}: none of {}", what, fmt::join(names, ", ")),
               .where = path.string(),
               .hint = "give the file itself"});
}

}  // namespace wanslim
