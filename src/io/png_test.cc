// SPDX-License-Identifier: Apache-2.0
#include "io/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/npy.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

std::string bytes_of(const std::string& name) {
  return read_text(Path(WANSLIM_TESTDATA) / "images" / name, 1 << 20);
}

Frames decode(const std::string& bytes, const FrameLimits& limits = {}) {
  return decode_png(std::as_bytes(std::span(bytes)), "a.png", limits);
}

std::string refusal(const std::string& bytes, const FrameLimits& limits = {}) {
  try {
    decode(bytes, limits);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

class Png : public ::testing::Test {
  void SetUp() override {
    if (!has_png()) GTEST_SKIP() << "built without libpng";
  }
};

// The expected pixels are those of Pillow's convert("RGB").
TEST_F(Png, EveryKindOfPixelBecomesRgb) {
  for (const auto& [picture, pixels] :
       {std::pair("rgb8.png", "rgb.npy"), std::pair("rgba8.png", "rgb.npy"),
        std::pair("rgb16.png", "rgb.npy"), std::pair("interlaced.png", "rgb.npy"),
        std::pair("palette.png", "palette.npy"), std::pair("grey1.png", "grey1.npy")}) {
    SCOPED_TRACE(picture);
    const Frames f = decode(bytes_of(picture));
    EXPECT_EQ(f.count, 1);
    EXPECT_EQ(f.height, 5);
    EXPECT_EQ(f.width, 9);
    EXPECT_THAT(f.rgb, ::testing::ElementsAreArray(
                           read_npy(Path(WANSLIM_TESTDATA) / "images" / pixels).as<uint8_t>()));
  }
}

TEST_F(Png, WhatIsWrittenReadsBack) {
  Frames f = make_frames(1, 37, 53);
  for (size_t i = 0; i < f.rgb.size(); ++i) f.rgb[i] = static_cast<uint8_t>(i * 7 + i / 100);
  const Frames again = decode(encode_png(f));
  EXPECT_EQ(again.width, 53);
  EXPECT_EQ(again.rgb, f.rgb);
}

TEST_F(Png, RefusesBrokenFiles) {
  const std::string good = bytes_of("rgb8.png");
  for (size_t length = 0; length < good.size() - 1; ++length) {
    ASSERT_THAT(refusal(good.substr(0, length)), HasSubstr("a.png: broken PNG file")) << length;
  }
  std::string crc = good;
  crc[20] ^= 1;  // width, so that the header's checksum is wrong
  EXPECT_THAT(refusal(crc), HasSubstr("broken PNG file"));
  std::string data = good;
  data[60] ^= 1;
  EXPECT_THAT(refusal(data), HasSubstr("broken PNG file"));
}

TEST_F(Png, RefusesPicturesOutsideTheLimits) {
  EXPECT_THAT(refusal(bytes_of("rgb8.png"), {.max_side = 8}), HasSubstr("a.png"));
  EXPECT_THAT(refusal(bytes_of("rgb8.png"), {.max_bytes = 100}), HasSubstr("need more than 100 bytes"));
}

}  // namespace
}  // namespace wanslim
