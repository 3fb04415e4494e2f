// SPDX-License-Identifier: Apache-2.0
// PNG files through libpng. Without libpng at build time every call throws an Error that says so.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "io/file.h"
#include "io/frames.h"

namespace wanslim {

bool has_png();  // was libpng there at build time?

// The pixels of a PNG file as 8-bit RGB, as PIL's convert("RGB"): palettes and greys are expanded, 16 bits
// scaled to 8, alpha and gamma ignored. Error, naming `where`, for anything broken, truncated or outside the
// limits.
Frames decode_png(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits = {});

// The bytes of a PNG file with this one frame.
std::string encode_png(const Frames& picture);

}  // namespace wanslim
