// SPDX-License-Identifier: Apache-2.0
#include "sampling/vace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "support/golden.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::read_golden;

Tensor channels(const Tensor& t, int64_t begin, int64_t end) {
  Tensor out(DType::kF32, {end - begin, t.dim(1), t.dim(2), t.dim(3)});
  const auto inner = static_cast<size_t>(t.count() / t.dim(0));
  const auto src = t.as<float>().subspan(static_cast<size_t>(begin) * inner, out.as<float>().size());
  std::copy(src.begin(), src.end(), out.as<float>().begin());
  return out;
}

TEST(Vace, FoldedMaskAgreesWithTheOfficialOne) {
  const auto golden = read_golden("official/loops/vace_context/context.safetensors");
  for (const auto& [key, references] : {std::pair("noref", 0), std::pair("ref", 1)}) {
    SCOPED_TRACE(key);
    const Tensor& context = golden.at(std::string("f32.vace_context.") + key);
    const Tensor mask = fold_mask(golden.at("in.mask"), references);
    EXPECT_EQ(mask.shape(), (Shape{64, 3 + references, 4, 2}));
    EXPECT_THAT(mask.as<float>(), ElementsAreArray(channels(context, 32, 96).as<float>()));
  }
}

TEST(Vace, ContextIsPutTogetherAsInTheOfficialPipeline) {
  const auto golden = read_golden("official/loops/vace_context/context.safetensors");
  const Tensor &plain = golden.at("f32.vace_context.noref"), &want = golden.at("f32.vace_context.ref");
  // The reference latent is the first frame of the first 16 channels.
  Tensor reference(DType::kF32, {16, 1, 4, 2});
  for (size_t c = 0; c < 16; ++c) {
    const auto src = want.as<float>().subspan(c * 32, 8);
    std::copy(src.begin(), src.end(), &reference.as<float>()[c * 8]);
  }
  const Tensor got = vace_context(channels(plain, 0, 16), channels(plain, 16, 32), std::span(&reference, 1),
                                  fold_mask(golden.at("in.mask"), 1));
  EXPECT_EQ(got.shape(), want.shape());
  EXPECT_THAT(got.as<float>(), ElementsAreArray(want.as<float>()));
  EXPECT_THAT(drop_references(got, 1).as<float>(), ElementsAreArray(plain.as<float>()));
}

// Which of 17 frames the 5 latent frames show: 1, 5, 8, 11, 15 (case.json).
TEST(Vace, MaskFramesArePickedNearestExact) {
  Tensor mask(DType::kF32, {1, 17, 16, 16});
  for (size_t i = 0; i < mask.as<float>().size(); ++i) mask.as<float>()[i] = static_cast<float>(i / 256);
  const Tensor folded = fold_mask(mask, 0);
  for (size_t t = 0; t < 5; ++t) {
    EXPECT_EQ(folded.as<float>()[t * 4], (std::array<float, 5>{1, 5, 8, 11, 15}[t]));
  }
  EXPECT_THROW(fold_mask(Tensor(DType::kF32, {1, 1, 24, 16}), 0), Error);
}

TEST(Vace, SplitBinarisesTheMask) {
  Tensor video(DType::kF32, {3, 1, 1, 3}), mask(DType::kF32, {1, 1, 1, 3});
  for (size_t i = 0; i < 9; ++i) video.as<float>()[i] = static_cast<float>(i + 1);
  const std::array<float, 3> values = {0.2f, 0.5f, 0.6f};
  std::copy(values.begin(), values.end(), mask.as<float>().begin());
  const SplitSource split = split_source(video, mask);
  EXPECT_THAT(split.inactive.as<float>(), ElementsAre(1, 2, 0, 4, 5, 0, 7, 8, 0));
  EXPECT_THAT(split.reactive.as<float>(), ElementsAre(0, 0, 3, 0, 0, 6, 0, 0, 9));
}

struct PlanCase {
  int64_t frames;
  double fps;
  PlaneSize source;
  int64_t area;
  // From the official _get_frameid_bbox_adjust_last.
  int64_t taken;
  PlaneSize size;
  int64_t sum, weighted;  // of the indices, and of index * (position + 1)
};

TEST(Vace, SourceFramesAndSizeAreTheOfficialOnes) {
  const int64_t small = 832 * 480, large = 1280 * 720;
  for (const PlanCase& c : {PlanCase{81, 16, {480, 832}, small, 81, {480, 832}, 3240, 177120},
                            PlanCase{100, 25, {720, 1280}, small, 81, {480, 832}, 3990, 218700},
                            PlanCase{200, 30, {1080, 1920}, large, 81, {720, 1280}, 8040, 440300},
                            PlanCase{6, 8, {100, 60}, small, 5, {80, 48}, 12, 49},
                            PlanCase{33, 24, {333, 500}, small, 33, {320, 496}, 528, 11968},
                            PlanCase{400, 16, {240, 320}, small, 397, {240, 320}, 79116, 21003398},
                            PlanCase{1, 16, {480, 832}, small, 1, {480, 832}, 0, 0}}) {
    SCOPED_TRACE(c.frames);
    std::vector<double> times;
    for (int64_t i = 0; i < c.frames; ++i) times.push_back(static_cast<double>(i) / c.fps);
    const SourcePlan plan = plan_source(times, static_cast<double>(c.frames) / c.fps, c.source, c.area);
    EXPECT_EQ(plan.size, c.size);
    EXPECT_EQ(static_cast<int64_t>(plan.frames.size()), c.taken);
    int64_t sum = 0, weighted = 0;
    for (size_t k = 0; k < plan.frames.size(); ++k) {
      sum += plan.frames[k];
      weighted += plan.frames[k] * static_cast<int64_t>(k + 1);
    }
    EXPECT_EQ(sum, c.sum);
    EXPECT_EQ(weighted, c.weighted);
  }
  const std::vector<double> one = {0};
  EXPECT_THROW(plan_source(one, 1, {15, 800}, small), Error);
}

TEST(Vace, SourceIsCroppedInTheMiddle) {
  // 20 x 32 pixels to 16 x 32: no resize (the scale is 1), 2 rows fall away above and below.
  std::vector<uint8_t> rgb(20 * 32 * 3);
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<uint8_t>(i / (32 * 3) * 10 + i % 3);
  const SourcePlan plan{.frames = {0, 0}, .size = {16, 32}};
  const Tensor values = source_values(rgb, {20, 32}, plan);
  ASSERT_EQ(values.shape(), (Shape{3, 2, 16, 32}));
  EXPECT_FLOAT_EQ(values.as<float>()[0], 20 / 127.5f - 1);
  EXPECT_FLOAT_EQ(values.as<float>()[2 * 2 * 16 * 32 + 15 * 32], 172 / 127.5f - 1);
  const Tensor mask = source_mask(values);
  EXPECT_EQ(mask.shape(), (Shape{1, 2, 16, 32}));
  EXPECT_FLOAT_EQ(mask.as<float>()[0], 20 / 255.0f);
}

TEST(Vace, ReferenceIsCentredOnWhite) {
  Tensor image(DType::kF32, {3, 2, 2});
  std::fill(image.as<float>().begin(), image.as<float>().end(), -1.0f);
  const Tensor frame = fit_reference(image, {4, 8});
  ASSERT_EQ(frame.shape(), (Shape{3, 1, 4, 8}));
  EXPECT_THAT(frame.as<float>().subspan(32 + 8, 8), ElementsAre(1, 1, -1, -1, -1, -1, 1, 1));
  EXPECT_EQ(fit_reference(image, {2, 2}).as<float>()[0], -1);
  EXPECT_THROW(fit_reference(Tensor(DType::kF32, {3, 1, 100}), {16, 16}), Error);
}

}  // namespace
}  // namespace wanslim
