// SPDX-License-Identifier: Apache-2.0
// torch.save files (.pth, .pt, .bin, .ckpt) since PyTorch 1.6: a zip archive of stored members.
//   <any>/data.pkl   pickle of the state dict (io/pickle.h)      <any>/byteorder  "little" or absent
//   <any>/data/<key> the bytes of a storage; tensors are strided views into them
// The state dict is the pickled dict itself or, if that holds no tensors, the dict inside it that does
// ("state_dict" first). Dicts inside the state dict give names joined by dots; what is no tensor is left out.
// Two names may share bytes. Tensors with more elements than the range they touch (expanded ones) are
// refused.
#pragma once
#include <vector>

#include "io/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace wanslim {

struct TorchEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape = {};
  std::vector<int64_t> strides = {};  // in elements; empty: contiguous
  uint64_t offset = 0;                // of the first element, from the start of the file
};

// True if the file begins like a zip archive or a pickle.
bool looks_like_torch(const File& file);

// Checks everything before any tensor byte is read. Error names the file, the member or the tensor.
std::vector<TorchEntry> read_torch_zip(const File& file);

}  // namespace wanslim
