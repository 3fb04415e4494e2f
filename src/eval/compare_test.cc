// SPDX-License-Identifier: Apache-2.0
#include "eval/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "io/media.h"
#include "io/npy.h"
#include "io/png.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using testing::f32;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::write_safetensors;

std::map<std::string, Tensor> one(std::string name, Tensor t) {
  std::map<std::string, Tensor> out;
  out.emplace(std::move(name), std::move(t));
  return out;
}

std::string refusal(const Path& a, const Path& b) {
  try {
    compare_paths(a, b);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Compare, LatentsOfTwoFilesWhateverTheirNames) {
  TempDir folder;
  write_safetensors(folder / "a.safetensors", one("latent", f32({2, 3, 2, 2}, 1)));
  write_npy(folder / "b.npy", f32({2, 3, 2, 2}, 1.5f));
  const Comparison c = compare_paths(folder / "a.safetensors", folder / "b.npy");
  ASSERT_EQ(c.items.size(), 1u);
  EXPECT_EQ(c.items[0].tensor->frames.size(), 3u);
  EXPECT_EQ(c.items[0].tensor->total.max_abs, 0.5);
  const Json j = to_json(c);
  EXPECT_EQ(j["items"][0]["kind"], "tensor");
  EXPECT_EQ(j["items"][0]["shape"], Json({2, 3, 2, 2}));
  EXPECT_EQ(j["items"][0]["per_frame"][2]["frame"], 2);
  EXPECT_GT(j["items"][0]["total"]["sqnr_db"].get<double>(), 20);
  EXPECT_THAT(to_text(c), HasSubstr("[2, 3, 2, 2], rel_l2 3."));
}

TEST(Compare, TensorsAreMatchedByName) {
  TempDir folder;
  auto x = one("p", f32({2})), y = one("p", f32({2}));
  x.emplace("only.x", f32({1}));
  y.emplace("only.y", f32({1}));
  y.emplace("also.y", f32({1}));
  write_safetensors(folder / "a.safetensors", x);
  write_safetensors(folder / "b.safetensors", y);
  const Comparison c = compare_paths(folder / "a.safetensors", folder / "b.safetensors");
  EXPECT_EQ(c.items.size(), 1u);
  EXPECT_TRUE(c.items[0].tensor->total.identical);
  EXPECT_THAT(c.only_a, ElementsAre("only.x"));
  EXPECT_THAT(c.only_b, ElementsAre("also.y", "only.y"));
  EXPECT_EQ(to_json(c)["items"][0]["total"]["sqnr_db"], nullptr);
  EXPECT_THAT(to_text(c), HasSubstr("p: [2], identical\nonly in A: only.x\n"));
}

TEST(Compare, FoldersByTheNamesOfTheirFiles) {
  if (!has_png()) GTEST_SKIP() << "built without libpng";
  TempDir folder;
  std::filesystem::create_directories(folder / "x");
  std::filesystem::create_directories(folder / "y");
  Frames f = make_frames(1, 16, 16);
  write_media(folder / "x" / "out.png", f);
  write_npy(folder / "x" / "latents.npy", f32({4}));
  write_npy(folder / "x" / "extra.npy", f32({4}));
  testing::write_text(folder / "x" / "run.json", "{}");
  f.rgb[5] = 9;
  write_media(folder / "y" / "out.png", f);
  write_npy(folder / "y" / "latents.npy", f32({4}));
  const Comparison c = compare_paths(folder / "x", folder / "y");
  ASSERT_EQ(c.items.size(), 2u);
  EXPECT_EQ(c.items[0].name, "latents.npy");
  EXPECT_EQ(c.items[1].name, "out.png");
  EXPECT_THAT(c.only_a, ElementsAre("extra.npy"));
  const Json j = to_json(c)["items"][1];
  EXPECT_EQ(j["kind"], "video");
  EXPECT_EQ(j["width"], 16);
  EXPECT_EQ(j["per_frame"][0]["temporal_difference"], nullptr);
  EXPECT_NEAR(j["total"]["mse"].get<double>(), 81.0 / 768, 1e-12);
  EXPECT_THAT(to_text(c), HasSubstr("out.png: 1 frames, PSNR 57."));
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  TempDir folder;
  write_npy(folder / "a.npy", f32({4}));
  write_npy(folder / "b.npy", f32({5}));
  write_media(folder / "c.gif", make_frames(1, 4, 4));
  testing::write_text(folder / "d.txt", "x");
  EXPECT_THAT(refusal(folder / "a.npy", folder / "b.npy"), HasSubstr("shapes [4] and [5] differ"));
  EXPECT_THAT(refusal(folder / "a.npy", folder / "c.gif"), HasSubstr("cannot compare with"));
  EXPECT_THAT(refusal(folder / "d.txt", folder / "d.txt"), HasSubstr("cannot compare with"));
  EXPECT_THAT(refusal(folder / "a.npy", folder / "none.npy"), HasSubstr("no such file"));
  EXPECT_THAT(refusal(folder / "a.npy", folder.path()), HasSubstr("cannot compare with"));
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(refusal(folder.path(), folder / "empty"), HasSubstr("nothing to compare"));
}

}  // namespace
}  // namespace wanslim
