// SPDX-License-Identifier: Apache-2.0
#include "models/tensor_lists.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/clip_vision.h"
#include "models/vae_checkpoint.h"

namespace wanslim {
namespace {

std::vector<NamedShape> sorted(std::vector<NamedShape> list) {
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return list;
}

// The tensors of a file, by name, that start with `prefix`.
std::vector<NamedShape> stored(const NamedCheckpoint& weights, std::string_view prefix) {
  std::vector<NamedShape> out;
  for (const StoredTensor& t : weights.file().tensors()) {
    if (t.name.starts_with(prefix)) out.push_back({t.name, t.shape});
  }
  return sorted(std::move(out));
}

int64_t parameters(const std::vector<NamedShape>& list) {
  int64_t sum = 0;
  for (const NamedShape& t : list) sum += element_count(t.shape);
  return sum;
}

TEST(VaeTensors, AreThoseOfTheOfficialModule) {
  EXPECT_EQ(sorted(vae_tensors(8)), stored(open_vae(Path(WANSLIM_TESTDATA) / "official/vae/mini"), ""));
  EXPECT_EQ(vae_tensors().size(), 194u);
  EXPECT_EQ(parameters(vae_tensors()), 126'892'531);  // spec A1.2
}

TEST(ClipTensors, AreThoseOfTheOfficialModule) {
  const NamedCheckpoint file = open_clip(Path(WANSLIM_TESTDATA) / "official/clip/mini/models_clip_mini.pth");
  std::vector<NamedShape> want;
  for (NamedShape& t : stored(file, "visual.")) {
    if (!t.name.starts_with("visual.post_norm") && t.name != "visual.head") want.push_back(std::move(t));
  }
  EXPECT_EQ(sorted(clip_tensors({.heads = 2, .mlp = 240, .layers = 3})), want);
  const int64_t unread = 2 * 1280 + 1280 * 1024;  // post_norm and head
  EXPECT_EQ(parameters(clip_tensors()) + unread, 632'076'800);
}

}  // namespace
}  // namespace wanslim
