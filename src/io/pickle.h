// SPDX-License-Identifier: Apache-2.0
// A restricted reader of Python pickles as torch.save writes them (protocols 2 to 5). It builds numbers,
// strings, lists, tuples, dicts and descriptions of tensors, and nothing else: the opcodes that can reach
// Python code (GLOBAL, STACK_GLOBAL, REDUCE, BUILD, BINPERSID) know the few names below and refuse the rest.
//   called:  collections.OrderedDict, torch.Size, torch._utils._rebuild_tensor_v2, _rebuild_tensor_v3,
//            _rebuild_parameter
//   named:   torch.FloatStorage and its kin, torch.storage.UntypedStorage, torch.float32 and its kin
// Time and memory are bounded by the size of the pickle: values live in one flat list and refer to each other
// by index, so neither nesting nor sharing costs anything. Errors name `where` and the byte.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace wanslim {

constexpr uint64_t kMaxPickleBytes = 16'000'000;
constexpr size_t kMaxPickleValues = 1'000'000;
constexpr size_t kMaxPickleTensors = 100'000;

// A view into a storage of elements. Offset and strides count elements; the reader checks only that they and
// the extents are not negative and that there are as many strides as extents.
struct PickledTensor {
  size_t storage = 0;  // index into Pickle::storages
  DType dtype = DType::kF32;
  int64_t offset = 0;
  Shape shape = {};
  std::vector<int64_t> strides = {};
};

struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kBytes,
    kList,
    kTuple,
    kDict,
    kCallable,  // integer: index into the table of known names
    kStorage,   // integer: index into Pickle::storages
    kTensor     // integer: index into Pickle::tensors
  };
  Kind kind = Kind::kNone;
  bool ordered_dict = false;
  int64_t integer = 0;
  double real = 0;
  std::string_view text = {};        // into the pickle's own bytes
  std::vector<uint32_t> items = {};  // indices into Pickle::values; of a dict: key, value, key, value, ...
};

struct Pickle {
  struct Storage {
    std::string key;  // its bytes are the member "data/<key>" of the archive
    DType dtype = DType::kU8;
    bool untyped = false;  // counted in bytes, whatever the dtype of the tensors on it
    uint64_t bytes = 0;
  };
  std::vector<PickleValue> values;
  std::vector<Storage> storages;
  std::vector<PickledTensor> tensors;
  uint32_t root = 0;
};

// `bytes` must outlive the result.
Pickle read_pickle(std::string_view bytes, std::string_view where);

}  // namespace wanslim
