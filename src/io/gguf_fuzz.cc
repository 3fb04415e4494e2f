// SPDX-License-Identifier: Apache-2.0
// Any bytes either parse into tensors that lie in the file or are refused with an Error; laying the result
// out again and parsing that gives the same tensors. Three bytes in front: how much longer the file is.
#include <utility>

#include "base/error.h"
#include "io/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wanslim;
  if (size < 3) return 0;
  const uint64_t tail = data[0] | data[1] << 8 | data[2] << 16;
  const auto bytes = std::as_bytes(std::span(data + 3, size - 3));
  try {
    const auto header = parse_gguf_header(bytes, bytes.size() + tail, "fuzz");
    if (!header) return 0;
    for (const GgufTensor& t : header->tensors) CHECK(t.offset + t.bytes <= bytes.size() + tail);
    const GgufLayout layout = layout_gguf(header->tensors, {{"general.architecture", std::string("wan")}});
    const auto again = parse_gguf_header(std::as_bytes(std::span(layout.head)), layout.file_bytes, "fuzz");
    CHECK(again && again->tensors.size() == header->tensors.size());
    for (size_t i = 0; i < again->tensors.size(); ++i) {
      CHECK(again->tensors[i].name == header->tensors[i].name);
      CHECK(again->tensors[i].shape == header->tensors[i].shape);
    }
  } catch (const Error&) {
  }
  return 0;
}
