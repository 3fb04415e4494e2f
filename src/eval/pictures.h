// SPDX-License-Identifier: Apache-2.0
// Two videos shown beside each other: what the numbers of video_metrics.h look like.
#pragma once
#include <string>

#include "eval/video_metrics.h"
#include "io/frames.h"

namespace wanslim {

// What is shown: both videos have the same size, `metrics` is compare_videos(a, b).
struct VideoPair {
  const Frames& a;
  const Frames& b;
  const VideoMetrics& metrics;
  std::string label_a, label_b;
};

constexpr int kDifferenceGain = 4;  // of the third panel, |A - B|

// A | B | 4 |A - B| with a line of labels above and the frame's numbers below; as many frames as the videos.
Frames side_by_side(const VideoPair& pair);

// One picture: up to `columns` frames, evenly spaced from first to last, one row each for A, B and 4 |A - B|.
// Frames wider than 400 pixels are shown smaller by a whole factor.
Frames contact_sheet(const VideoPair& pair, int64_t columns = 5);

}  // namespace wanslim
