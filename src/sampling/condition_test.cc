// SPDX-License-Identifier: Apache-2.0
#include "sampling/condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "support/golden.h"

namespace wanslim {
namespace {

using testing::read_golden;
using testing::rel_l2;

// [3, H, W] bytes to floats in [-1, 1], as torchvision's to_tensor and the pipelines do.
Tensor image_of(const Tensor& bytes) {
  Tensor out(DType::kF32, bytes.shape());
  for (size_t i = 0; i < out.as<float>().size(); ++i) {
    out.as<float>()[i] = (static_cast<float>(bytes.as<uint8_t>()[i]) / 255 - 0.5f) / 0.5f;
  }
  return out;
}

std::span<const float> first_channels(const Tensor& t, int64_t count) {
  return t.as<float>().first(static_cast<size_t>(t.count() / t.dim(0) * count));
}

TEST(Condition, SizesAreTheOfficialOnes) {
  const Json rows =
      parse_json(testing::read_golden_text("official/loops/i2v_sizes/case.json"), "case.json")["rows"];
  ASSERT_GT(rows.size(), 100u);
  for (const Json& row : rows) {
    const PlaneSize got =
        condition_size(row[0].get<int64_t>(), {row[1].get<int64_t>(), row[2].get<int64_t>()});
    EXPECT_EQ(got, (PlaneSize{row[3].get<int64_t>(), row[4].get<int64_t>()})) << row.dump();
  }
}

TEST(Condition, RefusesImagesThatAreTooNarrow) {
  EXPECT_THROW(condition_size(832 * 480, {1, 10000}), Error);
  EXPECT_THROW(condition_size(832 * 480, {10000, 1}), Error);
  EXPECT_THROW(condition_size(100, {1, 1}), Error);
}

TEST(Condition, ImageIsResizedAsInTheOfficialPipeline) {
  const auto golden = read_golden("official/loops/i2v/inputs.safetensors");
  const Tensor& want = golden.at("f32.resized_image");
  const Tensor image = image_of(golden.at("in.image_u8"));
  const Tensor video = condition_video(image, nullptr, 5, {want.dim(1), want.dim(2)});
  ASSERT_EQ(video.shape(), (Shape{3, 5, 32, 80}));
  const size_t plane = 32 * 80;
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_LE((rel_l2<float, float>(video.as<float>().subspan(c * 5 * plane, plane),
                                    want.as<float>().subspan(c * plane, plane))),
              1e-6);
    for (const float x : video.as<float>().subspan((c * 5 + 1) * plane, 4 * plane)) ASSERT_EQ(x, 0);
  }
}

TEST(Condition, MaskOfI2V) {
  const auto golden = read_golden("official/loops/i2v/inputs.safetensors");
  const Tensor& y = golden.at("f32.y");
  const Tensor mask = condition_mask(5, {y.dim(2), y.dim(3)}, false);
  EXPECT_EQ(mask.shape(), (Shape{4, 2, 4, 10}));
  EXPECT_THAT(mask.as<float>(), ::testing::ElementsAreArray(first_channels(y, 4)));
}

TEST(Condition, MaskOfFirstAndLastFrame) {
  const auto golden = read_golden("official/loops/flf2v_y/y.safetensors");
  const Tensor& y = golden.at("f32.y");
  const Tensor mask = condition_mask(9, {y.dim(2), y.dim(3)}, true);
  EXPECT_THAT(mask.as<float>(), ::testing::ElementsAreArray(first_channels(y, 4)));
}

TEST(Condition, JoinedWithTheLatentItIsTheModelsInput) {
  const auto golden = read_golden("official/loops/flf2v_y/y.safetensors");
  const Tensor& y = golden.at("f32.y");
  const std::span<const float> rest = y.as<float>().subspan(first_channels(y, 4).size());
  Tensor latent(DType::kF32, {16, y.dim(1), y.dim(2), y.dim(3)});
  std::copy(rest.begin(), rest.end(), latent.as<float>().begin());
  const Tensor joined = join_channels(condition_mask(9, {4, 6}, true), latent);
  EXPECT_EQ(joined.shape(), y.shape());
  EXPECT_THAT(joined.as<float>(), ::testing::ElementsAreArray(y.as<float>()));
}

Tensor ramp(int64_t height, int64_t width) {
  Tensor t(DType::kF32, {3, height, width});
  for (size_t i = 0; i < t.as<float>().size(); ++i) t.as<float>()[i] = static_cast<float>(i + 1);
  return t;
}

TEST(Condition, LastFrameIsPlacedAtTheEnd) {
  const Tensor first = ramp(4, 6), last = ramp(2, 3);
  const Tensor video = condition_video(first, &last, 9, {4, 6});
  const std::span<const float> v = video.as<float>();
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(v[24], 0);
  EXPECT_EQ(v[7 * 24 + 23], 0);
  EXPECT_GT(v[8 * 24 + 23], 5);
}

// torchvision's center_crop(image, [w', h']): sizes exchanged, zeros outside.
TEST(Condition, LastFrameOfAnotherSizeIsCroppedWithSidesExchanged) {
  const Tensor same = ramp(4, 6);
  EXPECT_EQ(fit_last_frame(same, {4, 6}).shape(), (Shape{3, 4, 6}));
  // First 4 x 6 (height x width), last 3 x 3: ratio max(6/3, 4/3) = 2, size 6 x 6.
  const Tensor padded = fit_last_frame(ramp(3, 3), {4, 6});
  ASSERT_EQ(padded.shape(), (Shape{3, 6, 6}));
  EXPECT_EQ(padded.as<float>()[0], 0);
  EXPECT_EQ(padded.as<float>()[1 * 6 + 1], 1);  // 3 zeros more: one in front, two behind
  EXPECT_EQ(padded.as<float>()[3 * 6 + 3], 9);
  EXPECT_EQ(padded.as<float>()[4 * 6 + 4], 0);
  // First 2 x 3, last 4 x 10 (ratio 0.5): scaled 2 x 5, exchanged 5 rows x 2 columns: one row more than there
  // is.
  const Tensor cropped = fit_last_frame(ramp(4, 10), {2, 3});
  ASSERT_EQ(cropped.shape(), (Shape{3, 5, 2}));
  EXPECT_THAT(cropped.as<float>().first(10), ::testing::ElementsAre(5, 6, 15, 16, 25, 26, 35, 36, 0, 0));
  // Halves go to the even number: (5 - 2) / 2 = 1.5 -> 2.
  const Tensor even = fit_last_frame(ramp(2, 5), {2, 2});
  ASSERT_EQ(even.shape(), (Shape{3, 5, 2}));
  EXPECT_THAT(even.as<float>().first(10), ::testing::ElementsAre(0, 0, 3, 4, 8, 9, 0, 0, 0, 0));
}

TEST(Condition, ClipPixelsAgreeWithTheOfficialPreprocessing) {
  for (const char* name : {"wide", "tall_down", "square_up"}) {
    SCOPED_TRACE(name);
    const auto golden = read_golden(std::string("official/clip/mini/") + name + ".safetensors");
    const Tensor got = clip_pixels(image_of(golden.at("in.image_u8")));
    ASSERT_EQ(got.shape(), (Shape{3, 224, 224}));
    double worst = 0;
    for (const auto& [first, last] : {std::pair(0, 3), std::pair(100, 107), std::pair(220, 223)}) {
      const Tensor& want =
          golden.at("f32.preprocessed_rows_" + std::to_string(first) + "_" + std::to_string(last));
      const auto rows = static_cast<size_t>(last - first + 1);
      for (size_t c = 0; c < 3; ++c) {
        for (size_t i = 0; i < rows * 224; ++i) {
          const float a = got.as<float>()[(c * 224 + static_cast<size_t>(first)) * 224 + i];
          worst = std::max(worst, std::abs(double{a} - want.as<float>()[c * rows * 224 + i]));
        }
      }
    }
    EXPECT_LE(worst, 2e-5);  // case.json allows 1e-4
  }
}

}  // namespace
}  // namespace wanslim
