// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_file.h"

#include <unistd.h>

#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "tensor/half.h"

namespace wanslim {

TensorMap read_tensors(const Path& path) {
  const Checkpoint file = Checkpoint::open(path);
  TensorMap tensors;
  for (const StoredTensor& stored : file.tensors()) tensors.emplace(stored.name, file.load(stored));
  return tensors;
}

Tensor floats_of(const Tensor& tensor, std::string_view where) {
  Tensor out(DType::kF32, tensor.shape());
  const std::span<float> values = out.as<float>();
  const auto fill = [&]<class T>(std::span<const T> source, auto convert) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = convert(source[i]);
  };
  switch (tensor.dtype()) {
    case DType::kF32:
      return tensor.clone();
    case DType::kF64:
      fill(tensor.as<double>(), [](double v) { return static_cast<float>(v); });
      break;
    case DType::kBF16:
      fill(tensor.as<uint16_t>(), bf16_to_float);
      break;
    case DType::kF16:
      fill(tensor.as<uint16_t>(), f16_to_float);
      break;
    default:
      throw Error{{.what = "is " + std::string(name_of(tensor.dtype())) + ", expected F32, F64, BF16 or F16",
                   .where = std::string(where)}};
  }
  return out;
}

void write_tensors(const Path& path, const TensorMap& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    entries.push_back({.name = name, .dtype = tensor.dtype(), .shape = tensor.shape()});
  }
  const SafetensorsLayout layout = layout_safetensors(std::move(entries), metadata);
  const Path temporary = path.string() + "." + std::to_string(::getpid()) + ".tmp";
  try {
    File file = File::create(temporary);
    file.write_at(0, std::as_bytes(std::span(layout.head)));
    for (const SafetensorsEntry& entry : layout.entries)
      file.write_at(entry.offset, tensors.at(entry.name).raw());
    file.sync();
    file.close();
    rename_file(temporary, path);
  } catch (...) {
    remove_file(temporary);
    throw;
  }
}

}  // namespace wanslim
