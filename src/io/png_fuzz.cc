// SPDX-License-Identifier: Apache-2.0
// Any bytes either decode to a picture within the limits or are refused with an Error.
#include "base/error.h"
#include "io/png.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const wanslim::FrameLimits limits{.max_side = 512, .max_bytes = 1 << 20};
  try {
    const auto f = wanslim::decode_png(std::as_bytes(std::span(data, size)), "fuzz", limits);
    CHECK(f.rgb.size() == f.frame_bytes() && f.rgb.size() <= 1 << 20);
  } catch (const wanslim::Error&) {
  }
  return 0;
}
