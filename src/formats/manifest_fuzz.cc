// SPDX-License-Identifier: Apache-2.0
// Any text is a manifest or an Error; a manifest that is written reads back and is written the same.
#include "formats/manifest.h"

#include <cstdint>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wanslim::Manifest manifest;
  try {
    manifest = wanslim::parse_manifest({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const wanslim::Error&) {
    return 0;
  }
  const std::string text = wanslim::manifest_text(manifest);
  CHECK(wanslim::manifest_text(wanslim::parse_manifest(text, "again")) == text);
  return 0;
}
