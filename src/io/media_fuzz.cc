// SPDX-License-Identifier: Apache-2.0
// Any bytes either decode to frames within the limits or are refused with an Error.
#include "base/error.h"
#include "io/media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const wanslim::FrameLimits limits{.max_side = 256, .max_frames = 8, .max_bytes = 1 << 20};
  try {
    const auto f = wanslim::decode_media(std::as_bytes(std::span(data, size)), "fuzz", limits);
    CHECK(f.count > 0 && f.count <= 8 && f.rgb.size() == static_cast<size_t>(f.count) * f.frame_bytes());
  } catch (const wanslim::Error&) {
  }
  return 0;
}
