// SPDX-License-Identifier: Apache-2.0
// Where a model gets its weights from: a float checkpoint or one of the quantized formats. Checkpoints and
// format readers implement it, nn and models consume it. Names are official ("blocks.3.ffn.0.weight").
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "tensor/quantized.h"

namespace wanslim {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(std::string_view tensor) const = 0;
  // Error naming the tensor if it is absent.
  virtual Shape shape(std::string_view tensor) const = 0;
  virtual DType dtype(std::string_view tensor) const = 0;
  // The tensor in its stored dtype. Safe to call from several threads.
  virtual Tensor load(std::string_view tensor) const = 0;
  // Rows first .. first + count of a tensor of any rank above 0. Sources that can read part of a tensor
  // override it, and say so: else each call loads the tensor.
  virtual bool reads_rows(std::string_view /*tensor*/) const { return false; }
  virtual Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const;
  // The Linear at `layer` ("blocks.3.ffn.0") if it is quantized here; nullopt if it is float.
  virtual std::optional<QuantizedLinear> load_quantized(std::string_view /*layer*/) const {
    return std::nullopt;
  }
};

}  // namespace wanslim
