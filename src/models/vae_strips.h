// SPDX-License-Identifier: Apache-2.0
// A video through the VAE in strips. Outside the part at the size of the latent, which has the attention, it
// is convolutions alone, so a strip of the picture depends on a few latent pixels around it and on nothing
// else: one strip after the other goes through the whole video, and only the frames of one are kept for later
// frames. Same bits as in one piece.
#pragma once
#include <cstdint>
#include <vector>

#include "models/vae_layers.h"

namespace wanslim {

// Latent columns (or rows) [begin, end) of the result, made from [first, last).
struct VaeStrip {
  int64_t begin = 0, end = 0, first = 0, last = 0;
};

struct VaeArea {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// `count` strips of `length` as equal as can be, each with up to `halo` more on both sides. 1 <= count <=
// length.
std::vector<VaeStrip> vae_strips(int64_t length, int64_t count, int64_t halo);

// What comes out of the stack needs so many more pixels of what goes in on each side. All layers must be
// local.
int64_t strip_halo(const VaeStack& stack);

// Latent pixels; enough for encoder and decoder as published. For plans.
inline constexpr int64_t kVaeHalo = 7;

// Bytes that the VAE takes for a video, beside the pixels, at width `dim` (96 as published).
struct VaeLoad {
  int64_t dim = 0, frames = 0, height = 0, width = 0;  // of the video
};
uint64_t vae_decode_memory(const VaeLoad& load, int64_t strips);
uint64_t vae_encode_memory(const VaeLoad& load, int64_t strips);
// Of narrower ones most would be halo.
int64_t most_strips(const VaeLoad& load);

}  // namespace wanslim
