// SPDX-License-Identifier: Apache-2.0
// The weights of one of our outputs under official names: what the readers of all formats share. A format
// says how a tensor is called in its file and how a quantized Linear is put together.
#pragma once
#include <functional>
#include <string>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace wanslim {

class FileSource : public WeightSource {
 public:
  // The stored name of an official tensor name or layer path.
  using Stored = std::function<std::string(std::string_view official)>;
  // The Linear at an official path; nullopt if it is float. Shapes need no check: FileSource makes it.
  using Quantized =
      std::function<std::optional<QuantizedLinear>(const FileSource&, const std::string& layer)>;
  FileSource(Checkpoint file, Quantized quantized, Stored stored = {});

  bool has(std::string_view tensor) const override { return find(tensor) != nullptr; }
  Shape shape(std::string_view tensor) const override { return at(tensor).shape; }
  DType dtype(std::string_view tensor) const override { return at(tensor).dtype; }
  Tensor load(std::string_view tensor) const override { return file_.load(at(tensor)); }
  bool reads_rows(std::string_view tensor) const override { return at(tensor).strides.empty(); }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override {
    return file_.load_rows(at(tensor), first, count);
  }
  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override;

  const Checkpoint& file() const { return file_; }
  const StoredTensor* find(std::string_view tensor) const { return file_.find(stored_(tensor)); }
  // Error unless it is of this dtype and, if `rank` is not -1, has as many dimensions.
  Tensor load_as(std::string_view tensor, DType dtype, int rank = -1) const;

 private:
  const StoredTensor& at(std::string_view tensor) const;
  Checkpoint file_;
  Quantized quantized_;
  Stored stored_;
};

}  // namespace wanslim
