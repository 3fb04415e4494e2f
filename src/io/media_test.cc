// SPDX-License-Identifier: Apache-2.0
#include "io/media.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "io/av.h"
#include "io/npy.h"
#include "io/png.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

Path image(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "images" / name;
}

// A smooth scene that moves, different in each channel.
Frames scene(int64_t count, int64_t height, int64_t width) {
  Frames f = make_frames(count, height, width);
  size_t at = 0;
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        f.rgb[at++] = static_cast<uint8_t>(128 + 100 * std::sin(0.1 * static_cast<double>(x + 2 * t)));
        f.rgb[at++] = static_cast<uint8_t>(128 + 90 * std::cos(0.13 * static_cast<double>(y - t)));
        f.rgb[at++] = static_cast<uint8_t>(40 + x + y + 3 * t);
      }
    }
  }
  return f;
}

double mean_error(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += std::abs(int{a[i]} - int{b[i]});
  return sum / static_cast<double>(a.size());
}

int worst_error(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  EXPECT_EQ(a.size(), b.size());
  int worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::abs(int{a[i]} - int{b[i]}));
  return worst;
}

std::string refusal(const std::string& bytes, const FrameLimits& limits = {}) {
  try {
    decode_media(std::as_bytes(std::span(bytes)), "a.bin", limits);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

class Media : public ::testing::Test {
  void SetUp() override {
    if (!has_av() || !has_png()) GTEST_SKIP() << "built without FFmpeg's libraries or libpng";
  }

 protected:
  testing::TempDir folder;
};

TEST_F(Media, PicturesAreNearToWhatPillowReads) {
  for (const auto& [picture, pixels, most] :
       {std::tuple("smooth.jpg", "smooth.npy", 6), std::tuple("progressive.jpg", "progressive.npy", 3),
        std::tuple("grey.jpg", "grey.npy", 3), std::tuple("smooth.webp", "exact.npy", 0)}) {
    SCOPED_TRACE(picture);
    const Frames f = read_picture(image(picture));
    EXPECT_EQ(f.height, 48);
    EXPECT_EQ(f.width, 64);
    const Tensor want = read_npy(image(pixels));
    EXPECT_LE(worst_error(f.rgb, want.as<uint8_t>()), most);
    EXPECT_LE(mean_error(f.rgb, want.as<uint8_t>()), most > 0 ? 1.0 : 0.0);
  }
}

TEST_F(Media, Mp4KeepsFramesRateAndColours) {
  Frames f = scene(17, 48, 64);
  write_media(folder / "a.mp4", f);
  const Frames again = read_media(folder / "a.mp4");
  EXPECT_EQ(again.count, 17);
  EXPECT_EQ(again.height, 48);
  EXPECT_EQ(again.width, 64);
  EXPECT_NEAR(again.fps, 16, 1e-6);
  ASSERT_EQ(again.times.size(), 17u);
  EXPECT_NEAR(again.times[16], 1.0, 1e-3);
  for (int64_t i = 0; i < 17; ++i) EXPECT_LT(mean_error(again.frame(i), f.frame(i)), 2) << "frame " << i;
}

TEST_F(Media, Mp4OfOneFrameAndOfOddSize) {
  const Frames f = scene(1, 33, 47);
  write_media(folder / "a.mp4", f);
  const Frames again = read_media(folder / "a.mp4");
  EXPECT_EQ(again.count, 1);
  ASSERT_EQ(again.height, 34);
  ASSERT_EQ(again.width, 48);
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(again.rgb[33 * 48 * 3 + c], again.rgb[32 * 48 * 3 + c], 4);
}

TEST_F(Media, Mp4BytesAreTheSameForAnyThreadCount) {
  const Frames f = scene(9, 64, 64);
  write_media(folder / "a.mp4", f);
  set_threads(1);
  write_media(folder / "b.mp4", f);
  set_threads(0);
  EXPECT_EQ(read_text(folder / "a.mp4", 1 << 24), read_text(folder / "b.mp4", 1 << 24));
}

TEST_F(Media, QualityChangesTheSize) {
  Frames f = scene(9, 64, 64);
  for (size_t i = 0; i < f.rgb.size(); i += 5) f.rgb[i] ^= 21;
  write_media(folder / "good.mp4", f, 8);
  write_media(folder / "small.mp4", f, 3);
  EXPECT_GT(stamp_of(folder / "good.mp4").size, 2 * stamp_of(folder / "small.mp4").size);
}

TEST_F(Media, GifReadsBackNear) {
  const Frames f = scene(5, 40, 56);
  write_media(folder / "a.gif", f);
  const Frames again = read_media(folder / "a.gif");
  EXPECT_EQ(again.count, 5);
  EXPECT_NEAR(again.fps, 16, 1);
  EXPECT_LT(mean_error(again.rgb, f.rgb), 8);
}

TEST_F(Media, PngReadsBackExactly) {
  const Frames f = scene(1, 20, 30);
  write_media(folder / "a.PNG", f);
  EXPECT_EQ(read_picture(folder / "a.PNG").rgb, f.rgb);
}

TEST_F(Media, NamesAreCheckedBeforeTheWork) {
  EXPECT_THROW(check_media_name("out.avi", 5), Error);
  EXPECT_THROW(check_media_name("out", 5), Error);
  EXPECT_THROW(check_media_name("out.png", 5), Error);
  EXPECT_NO_THROW(check_media_name("out.png", 1));
  EXPECT_NO_THROW(check_media_name("out.Mp4", 81));
  EXPECT_THROW(write_media("/nowhere/a.gif", scene(1, 2, 2)), Error);
}

TEST_F(Media, RefusesWhatIsNoPicture) {
  EXPECT_THAT(refusal(""), HasSubstr("not a video"));
  EXPECT_THAT(refusal("hello world, this is text"), HasSubstr("not a video"));
  EXPECT_THAT(refusal(std::string(5000, '\0')), HasSubstr("a.bin"));
  // Formats that would open other files or servers are not tried.
  EXPECT_THAT(refusal("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1\nfile:///etc/passwd\n"),
              HasSubstr("not a video"));
  EXPECT_THAT(refusal("ffconcat version 1.0\nfile /etc/passwd\n"), HasSubstr("not a video"));
  write_media(folder / "a.gif", scene(3, 8, 8));
  EXPECT_THROW(read_picture(folder / "a.gif"), Error);
}

TEST_F(Media, RefusesTruncatedFiles) {
  write_media(folder / "a.mp4", scene(9, 48, 64));
  for (const Path& path :
       {image("smooth.jpg"), image("progressive.jpg"), image("smooth.webp"), folder / "a.mp4"}) {
    const std::string good = read_text(path, 1 << 24);
    ASSERT_EQ(refusal(good), "no error");
    for (size_t part = 0; part < 20; ++part) {
      EXPECT_NE(refusal(good.substr(0, good.size() * part / 20)), "no error") << path << " " << part;
    }
  }
}

TEST_F(Media, RefusesWhatIsOutsideTheLimits) {
  write_media(folder / "a.mp4", scene(9, 48, 64));
  const std::string video = read_text(folder / "a.mp4", 1 << 24);
  EXPECT_THAT(refusal(video, {.max_side = 60}), HasSubstr("expected 1 to 60 a side"));
  EXPECT_THAT(refusal(video, {.max_frames = 8}), HasSubstr("more than 8 frames"));
  EXPECT_THAT(refusal(video, {.max_bytes = 48 * 64 * 3 * 8}), HasSubstr("need more than"));
  EXPECT_NE(refusal(read_text(image("smooth.jpg"), 1 << 20), {.max_bytes = 1000}), "no error");
}

}  // namespace
}  // namespace wanslim
