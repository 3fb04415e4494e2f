// SPDX-License-Identifier: Apache-2.0
// How far one video is from another, per frame and in total. A is the reference where it matters.
#pragma once
#include <vector>

#include "io/frames.h"

namespace wanslim {

struct FrameMetrics {
  double mse = 0;   // mean squared difference of the RGB bytes
  double psnr = 0;  // 10 log10(255^2 / mse) dB; infinite if equal
  double ssim = 0;  // see ssim(); NaN for frames below 11 x 11 pixels
  // Mean absolute difference between the two videos' changes since the frame before: |(A_t - A_t-1) - (B_t -
  // B_t-1)| in units of a byte. Flicker shows here and not in a still. NaN for the first frame.
  double temporal = 0;
  double motion_a = 0, motion_b = 0;  // mean |A_t - A_t-1| and |B_t - B_t-1|; NaN for the first frame
};

struct VideoMetrics {
  std::vector<FrameMetrics> frames;
  FrameMetrics total;  // psnr of the mean mse; the others are means over the frames that have them
};

// Error if frame counts or sizes differ.
VideoMetrics compare_videos(const Frames& a, const Frames& b);

// Mean structural similarity of two frames' luma (BT.601: 0.299 R + 0.587 G + 0.114 B): Gaussian window of 11
// x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, only windows that lie inside. Wang et al. 2004, "Image quality
// assessment", equations 13 to 17. NaN below 11 x 11 pixels.
double ssim(std::span<const uint8_t> rgb_a, std::span<const uint8_t> rgb_b, int64_t height, int64_t width);

}  // namespace wanslim
