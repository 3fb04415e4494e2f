// SPDX-License-Identifier: Apache-2.0
#include "eval/video_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"

namespace wanslim {
namespace {

Frames picture() {
  Frames f = make_frames(1, 24, 31);
  size_t i = 0;
  for (int y = 0; y < 24; ++y) {
    for (int x = 0; x < 31; ++x) {
      f.rgb[i++] = static_cast<uint8_t>(x * 8 + y);
      f.rgb[i++] = static_cast<uint8_t>(y * 9 + 3 * x);
      f.rgb[i++] = static_cast<uint8_t>(x * y);
    }
  }
  return f;
}

Frames disturbed(const Frames& f) {
  Frames out = f;
  for (size_t i = 0; i < out.rgb.size(); ++i) {
    const int noise = static_cast<int>(static_cast<uint32_t>(i * 2654435761u + 7) >> 24) / 16 - 8;
    out.rgb[i] = static_cast<uint8_t>(std::clamp(f.rgb[i] + noise, 0, 255));
  }
  return out;
}

// Expected: the formulas of Wang et al. in double with torch's conv2d.
TEST(VideoMetrics, PsnrAndSsimOfANoisyPicture) {
  const Frames a = picture(), b = disturbed(a);
  const VideoMetrics m = compare_videos(a, b);
  EXPECT_NEAR(m.total.mse, 20.892921146953405, 1e-12);
  EXPECT_NEAR(m.total.psnr, 34.930811956931954, 1e-12);
  EXPECT_NEAR(m.total.ssim, 0.9865145443113811, 1e-9);
  EXPECT_TRUE(std::isnan(m.total.temporal));
  EXPECT_NEAR(ssim(b.rgb, a.rgb, 24, 31), m.total.ssim, 1e-12);
}

TEST(VideoMetrics, EqualVideosAreEqual) {
  const Frames a = picture();
  const VideoMetrics m = compare_videos(a, a);
  EXPECT_EQ(m.total.psnr, INFINITY);
  EXPECT_NEAR(m.total.ssim, 1, 1e-12);
}

TEST(VideoMetrics, FlickerShowsInTheTemporalDifferenceAlone) {
  // A stands still; B is brighter by 4 in every other frame. Both differ from A by the same squares on
  // average.
  Frames a = make_frames(4, 12, 12), b = a;
  std::fill(a.rgb.begin(), a.rgb.end(), uint8_t{100});
  b.rgb = a.rgb;
  for (const int64_t t : {1, 3}) {
    for (uint8_t& x : b.frame(t)) x = 104;
  }
  const VideoMetrics m = compare_videos(a, b);
  EXPECT_EQ(m.total.temporal, 4);
  EXPECT_EQ(m.total.motion_a, 0);
  EXPECT_EQ(m.total.motion_b, 4);
  EXPECT_EQ(m.total.mse, 8);
  EXPECT_EQ(m.frames[0].psnr, INFINITY);
  EXPECT_NEAR(m.frames[1].psnr, 10 * std::log10(255 * 255 / 16.0), 1e-12);
  EXPECT_NEAR(m.total.psnr, 10 * std::log10(255 * 255 / 8.0), 1e-12);
  // The same shift in all frames: no flicker.
  for (uint8_t& x : b.rgb) x = 104;
  EXPECT_EQ(compare_videos(a, b).total.temporal, 0);
}

TEST(VideoMetrics, SmallFramesHaveNoSsim) {
  const Frames a = make_frames(2, 10, 50);
  EXPECT_TRUE(std::isnan(compare_videos(a, a).total.ssim));
}

TEST(VideoMetrics, SizesMustAgree) {
  EXPECT_THROW(compare_videos(make_frames(2, 8, 8), make_frames(3, 8, 8)), Error);
  EXPECT_THROW(compare_videos(make_frames(2, 8, 8), make_frames(2, 8, 16)), Error);
}

TEST(VideoMetrics, SameBitsForAnyThreadCount) {
  const Frames a = picture(), b = disturbed(a);
  set_threads(1);
  const double one = compare_videos(a, b).total.ssim;
  set_threads(3);
  const double three = compare_videos(a, b).total.ssim;
  set_threads(0);
  EXPECT_EQ(one, three);
}

}  // namespace
}  // namespace wanslim
