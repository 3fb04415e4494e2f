// SPDX-License-Identifier: Apache-2.0
#include "formats/file_source.h"

#include <fmt/format.h>

#include "base/error.h"

namespace wanslim {

FileSource::FileSource(Checkpoint file, Quantized quantized, Stored stored)
    : file_(std::move(file)), quantized_(std::move(quantized)), stored_(std::move(stored)) {
  if (!stored_) stored_ = [](std::string_view name) { return std::string(name); };
}

const StoredTensor& FileSource::at(std::string_view tensor) const {
  const StoredTensor* stored = find(tensor);
  if (stored) return *stored;
  throw Error({.what = "the tensor is not in the file",
               .where = fmt::format("{}: \"{}\"", file_.folder().string(), stored_(tensor))});
}

Tensor FileSource::load_as(std::string_view tensor, DType dtype, int rank) const {
  const StoredTensor& stored = at(tensor);
  if (stored.dtype != dtype || (rank >= 0 && stored.shape.size() != static_cast<size_t>(rank))) {
    throw Error({.what = fmt::format("the tensor is {} {}, expected {}{}", name_of(stored.dtype),
                                     to_string(stored.shape), name_of(dtype),
                                     rank >= 0 ? fmt::format(" of {} dimensions", rank) : ""),
                 .where = file_.describe(stored)});
  }
  return file_.load(stored);
}

std::optional<QuantizedLinear> FileSource::load_quantized(std::string_view layer) const {
  const std::string name(layer);
  std::optional<QuantizedLinear> linear = quantized_(*this, name);
  if (!linear) return linear;
  linear->name = name;
  if (linear->bias.empty() && has(name + ".bias")) linear->bias = load(name + ".bias");
  std::string why;
  if (!is_consistent(*linear, &why)) throw Error({.what = why, .where = name});
  return linear;
}

}  // namespace wanslim
