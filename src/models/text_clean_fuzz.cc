// SPDX-License-Identifier: Apache-2.0
// Any text is cleaned to UTF-8 without leading, trailing or double spaces, or refused as no UTF-8.
#include "base/error.h"
#include "models/text_clean.h"
#include "models/text_unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string out = wanslim::clean_prompt({reinterpret_cast<const char*>(data), size});
    wanslim::decode_utf8(out);
    CHECK(out.find("  ") == std::string::npos && !out.starts_with(' ') && !out.ends_with(' '));
  } catch (const wanslim::Error& e) {
    CHECK(e.parts.what.find("UTF-8") != std::string::npos || size > wanslim::kMaxPromptBytes);
  }
  return 0;
}
