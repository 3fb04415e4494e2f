// SPDX-License-Identifier: Apache-2.0
// Inputs of the image tasks (i2v, flf2v) that need no network. Images are float [3, height, width] in [-1,
// 1]. Source: spec wan-forward A6, A7, A9 items 7 and 8.
//
//   latent = condition_size(area of --size, size of the image)
//   y      = join_channels(condition_mask(...), VAE.encode(condition_video(...)))     -> the model's 20
//   channels clip   = CLIP(clip_pixels(image)), for flf2v also of fit_last_frame(last, size of first)
#pragma once
#include <cstdint>

#include "kernels/resize.h"
#include "tensor/tensor.h"

namespace wanslim {

// Height and width of the latent (an eighth of the pixels): the image's aspect at about `max_area` pixels,
// rounded down to even numbers. Error if the image is so narrow that a side becomes 0 or larger than the
// rotary tables.
PlaneSize condition_size(int64_t max_area, PlaneSize image);

// [4, T, h, w] with T = (frames - 1) / 4 + 1: which pixel frames are given, 4 of them folded into each latent
// frame (the first frame counts 4 times). The official flf2v script always builds it for 81 frames; here it
// follows `frames`.
Tensor condition_mask(int64_t frames, PlaneSize latent, bool last_too);

// [3, frames, H, W] for the VAE: the image resized (bicubic) to `pixels` in front, zeros after it, and
// `last`, if not null, at the end.
Tensor condition_video(const Tensor& first, const Tensor* last, int64_t frames, PlaneSize pixels);

// What the official flf2v script makes of a last frame whose size differs from the first one's: a centre
// crop, not a resize, to the scaled size with height and width exchanged, zeros where the image does not
// reach.
Tensor fit_last_frame(const Tensor& last, PlaneSize first);

// [3, side, side] for the CLIP encoder: bicubic, aspect not kept, not clamped, then CLIP's mean and
// deviation.
Tensor clip_pixels(const Tensor& image, int64_t side = 224);

// Concatenation of two float tensors along the first dimension.
Tensor join_channels(const Tensor& a, const Tensor& b);

}  // namespace wanslim
