// SPDX-License-Identifier: Apache-2.0
// Any text of an index gives names of files in its folder or an Error.
#include "io/checkpoint.h"

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& [tensor, file] : wanslim::parse_checkpoint_index(text, "fuzz"))
      CHECK(file.find('/') == std::string::npos && file.ends_with(".safetensors"));
  } catch (const wanslim::Error&) {
  }
  return 0;
}
