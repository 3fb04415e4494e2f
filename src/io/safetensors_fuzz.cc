// SPDX-License-Identifier: Apache-2.0
// Any header either parses into tensors that cover the file or is refused with an Error; laying the result
// out again and parsing that gives the same tensors.
#include <cstring>

#include "base/error.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint64_t tail = data[0] | data[1] << 8;
  const std::string_view json(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    const auto header = wanslim::parse_safetensors_header(json, 8 + json.size() + tail, "fuzz");
    const auto layout = wanslim::layout_safetensors(header.entries, header.metadata);
    const std::string_view text = std::string_view(layout.head).substr(8);
    const auto again = wanslim::parse_safetensors_header(text, layout.file_bytes, "fuzz");
    CHECK(again.entries.size() == header.entries.size());
    CHECK(again.metadata == header.metadata);
  } catch (const wanslim::Error&) {
  }
  return 0;
}
