// SPDX-License-Identifier: Apache-2.0
// Labels on pictures: a bitmap font of 5 x 7 pixels for printable ASCII; other characters show as a box.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "io/frames.h"

namespace wanslim {

constexpr int64_t kGlyphWidth = 6, kGlyphHeight = 9;  // with the space around a character

using Rgb = std::array<uint8_t, 3>;

// The seven rows of a character, top first, 5 bits each, the leftmost is 16.
std::array<uint8_t, 7> glyph(char c);

// Writes `text` into a frame with its upper left corner at (x, y), `scale` pixels per dot; cut at the edges.
void draw_text(Frames& frames, int64_t frame, int64_t x, int64_t y, std::string_view text, Rgb colour,
               int64_t scale);

// `text`, cut in the middle ("begin...end") to fit `width` pixels.
std::string fit_text(std::string_view text, int64_t width, int64_t scale);

}  // namespace wanslim
