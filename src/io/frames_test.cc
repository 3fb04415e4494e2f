// SPDX-License-Identifier: Apache-2.0
#include "io/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;

TEST(Frames, VideosTruncateAndPicturesRound) {
  // One frame of 1 x 2 pixels, channels outermost: red -1, 1; green 0, 0.9; blue -3, 3.
  const std::vector<float> values = {-1, 1, 0, 0.9f, -3, 3};
  // 0 -> 127.5, 0.9 -> 242.25
  EXPECT_THAT(frames_from_values(values, 1, 1, 2, PixelRounding::kTruncate).rgb,
              ElementsAre(0, 127, 0, 255, 242, 255));
  EXPECT_THAT(frames_from_values(values, 1, 1, 2, PixelRounding::kNearest).rgb,
              ElementsAre(0, 128, 0, 255, 242, 255));
}

TEST(Frames, PixelsSurviveTheWayThereAndBack) {
  Frames f = make_frames(2, 8, 16);
  for (size_t i = 0; i < f.rgb.size(); ++i) f.rgb[i] = static_cast<uint8_t>(i % 256);
  const Tensor values = values_from_frames(f);
  EXPECT_EQ(values.shape(), (Shape{3, 2, 8, 16}));
  EXPECT_EQ(frames_from_values(values.as<float>(), 2, 8, 16, PixelRounding::kNearest).rgb, f.rgb);
}

TEST(Frames, NaNIsAnError) {
  const std::vector<float> values = {0, 0, 0, 0, std::numeric_limits<float>::quiet_NaN(), 0};
  EXPECT_THROW(frames_from_values(values, 2, 1, 1, PixelRounding::kTruncate), Error);
}

TEST(Frames, LimitsAreCheckedWithoutOverflow) {
  EXPECT_NO_THROW(check_limits({}, 81, 720, 1280, "v"));
  EXPECT_THROW(check_limits({}, 1, 0, 5, "v"), Error);
  EXPECT_THROW(check_limits({}, 1, 1, 16385, "v"), Error);
  EXPECT_THROW(check_limits({}, 8193, 1, 1, "v"), Error);
  EXPECT_THROW(check_limits({}, 8000, 16384, 16384, "v"), Error);
  EXPECT_THROW(check_limits({}, 1, int64_t{1} << 62, int64_t{1} << 62, "v"), Error);
}

}  // namespace
}  // namespace wanslim
