// SPDX-License-Identifier: Apache-2.0
// Any bytes either are a tensor that writes back to the same elements or are refused with an Error.
#include <cstring>

#include "base/error.h"
#include "io/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const wanslim::Tensor t = wanslim::parse_npy(bytes, "fuzz");
    std::string text = wanslim::npy_header(t.dtype(), t.shape());
    text.append(reinterpret_cast<const char*>(t.raw().data()), t.bytes());
    const wanslim::Tensor again = wanslim::parse_npy(std::as_bytes(std::span(text)), "fuzz");
    CHECK(again.dtype() == t.dtype() && again.shape() == t.shape());
    CHECK(t.bytes() == 0 || std::memcmp(again.raw().data(), t.raw().data(), t.bytes()) == 0);
  } catch (const wanslim::Error&) {
  }
  return 0;
}
