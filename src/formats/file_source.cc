// SPDX-License-Identifier: Apache-2.0
#include "formats/file_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace wanslim {

Tensor rows_of(const Checkpoint& file, const StoredTensor& tensor, int64_t first, int64_t count) {
  CHECK(!tensor.shape.empty() && first >= 0 && count >= 0 && first + count <= tensor.shape[0]);
  Shape shape = tensor.shape;
  shape[0] = count;
  Tensor out(tensor.dtype, shape);
  const uint64_t row_bytes = tensor.bytes / static_cast<uint64_t>(std::max<int64_t>(1, tensor.shape[0]));
  file.read(tensor, static_cast<uint64_t>(first) * row_bytes, out.raw());
  return out;
}

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
