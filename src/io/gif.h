// SPDX-License-Identifier: Apache-2.0
// Animated GIFs: one palette of 256 colours for all frames, found by median cut, with ordered dithering (a
// pattern that stands still, so that unchanged areas do not flicker). Needs no library. Source: GIF89a
// specification (CompuServe 1990); Heckbert 1982, "Color image quantization".
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/frames.h"

namespace wanslim {

// The bytes of a GIF that repeats forever. Delays are whole hundredths of a second that keep the average rate
// of frames.fps. Error if a side exceeds 65535.
std::string encode_gif(const Frames& frames);

// Up to 256 colours for these pixels, the parts of encode_gif that tests look at.
std::vector<std::array<uint8_t, 3>> median_cut(const Frames& frames);
std::string lzw_compress(std::span<const uint8_t> indices);

}  // namespace wanslim
