// SPDX-License-Identifier: Apache-2.0
// Any pickle either becomes values that refer to each other in range or is refused with an Error.
#include "base/error.h"
#include "io/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto p = wanslim::read_pickle({reinterpret_cast<const char*>(data), size}, "fuzz");
    CHECK(p.root < p.values.size() && p.values.size() <= size);
    for (const auto& value : p.values) {
      for (uint32_t item : value.items) CHECK(item < p.values.size());
      if (value.kind == wanslim::PickleValue::Kind::kTensor)
        CHECK(static_cast<size_t>(value.integer) < p.tensors.size());
    }
    for (const auto& tensor : p.tensors) CHECK(tensor.storage < p.storages.size());
  } catch (const wanslim::Error&) {
  }
  return 0;
}
