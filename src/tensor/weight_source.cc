// SPDX-License-Identifier: Apache-2.0
#include "tensor/weight_source.h"

#include <cstring>

namespace wanslim {

Tensor WeightSource::load_rows(std::string_view tensor, int64_t first, int64_t count) const {
  const Tensor all = load(tensor);
  CHECK(!all.shape().empty() && first >= 0 && count >= 0 && first + count <= all.dim(0));
  Shape shape = all.shape();
  shape[0] = count;
  Tensor out(all.dtype(), shape);
  const size_t row_bytes = all.dim(0) == 0 ? 0 : all.bytes() / static_cast<size_t>(all.dim(0));
  std::memcpy(out.raw().data(), all.raw().data() + static_cast<size_t>(first) * row_bytes, out.bytes());
  return out;
}

}  // namespace wanslim
