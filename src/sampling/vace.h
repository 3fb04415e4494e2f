// SPDX-License-Identifier: Apache-2.0
// Inputs of the VACE tasks that need no network: source video and mask brought to the model's size, split
// into what is kept and what is made anew, and the mask folded to the latent's resolution. Source: spec
// wan-forward A7, A9 item 9 (official vace.py, vace_processor.py).
//
//   inactive, reactive = split_source(video, mask)     both through the VAE; then
//   context = vace_context(latents, references, fold_mask(mask, references))
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/resize.h"
#include "tensor/tensor.h"

namespace wanslim {

// Which frames of a source video are taken and to what size they are brought.
struct SourcePlan {
  std::vector<int64_t> frames;  // indices into the source, 4n + 1 of them
  PlaneSize size;               // multiples of 16
};

// `times` are the seconds at which the source's frames start, `end` when the last one ends; area: width *
// height of
// --size. The video keeps its aspect, its first and last frame, and as many frames as fit the model's 21
// latent frames of that area (fewer pixels leave room for more frames). Error if the source is smaller than
// 16 x 16 pixels.
SourcePlan plan_source(std::span<const double> times, double end, PlaneSize source, int64_t area);

// The planned frames, [3, frames, height, width] in [-1, 1]: resized with antialiasing to cover the plan's
// size and cropped in the middle. `rgb`: 8-bit frames [frames, height, width, 3].
Tensor source_values(std::span<const uint8_t> rgb, PlaneSize source, const SourcePlan& plan);

// A mask video as values ([3, F, H, W] in [-1, 1]) to [1, F, H, W] in [0, 1]: its first channel.
Tensor source_mask(const Tensor& values);

// What there is where nothing is given: a grey video and a mask of ones.
Tensor empty_source(int64_t frames, PlaneSize size);
Tensor full_mask(int64_t frames, PlaneSize size);

// A reference image [3, h, w] as a frame [3, 1, H, W]: as large as fits (bilinear), centred on white.
Tensor fit_reference(const Tensor& image, PlaneSize canvas);

// video * (1 - m) and video * m, m = mask > 0.5.
struct SplitSource {
  Tensor inactive, reactive;
};
SplitSource split_source(const Tensor& video, const Tensor& mask);

// [1, F, H, W] to [64, references + T, H / 8, W / 8]: the 8 x 8 pixels of a latent element become channels;
// of the F frames T = (F + 3) / 4 are picked (nearest-exact). Not binarised. References have zeros in front.
// Error unless H and W are multiples of 16.
Tensor fold_mask(const Tensor& mask, int64_t references);

// [96, references + T, h, w]: inactive and reactive latents (16 channels each; a reference is an inactive
// latent of one frame over 16 zero channels) and the folded mask.
Tensor vace_context(const Tensor& inactive, const Tensor& reactive, std::span<const Tensor> references,
                    const Tensor& folded_mask);

// Without the first `references` latent frames, which show the reference images again.
Tensor drop_references(const Tensor& latent, int64_t references);

}  // namespace wanslim
