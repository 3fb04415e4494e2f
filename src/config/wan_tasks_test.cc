// SPDX-License-Identifier: Apache-2.0
#include "config/wan_tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "config/wan_variants.h"

namespace wanslim {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

std::string refusal(std::string_view task, const TaskOptions& options) {
  try {
    settle(wan_task(task), options);
  } catch (const Error& e) {
    EXPECT_EQ(e.parts.kind, Error::Kind::kUsage);
    return e.text;
  }
  return "no error";
}

TEST(WanTasks, DefaultsAreThoseOfTheOfficialScript) {
  struct Row {
    const char* task;
    int64_t frames, steps;
    double shift, shift_480p;
  };
  for (const Row& row :
       {Row{"t2v-1.3B", 81, 50, 5, 5}, Row{"t2v-14B", 81, 50, 5, 5}, Row{"t2i-14B", 1, 50, 5, 5},
        Row{"i2v-14B", 81, 40, 5, 3}, Row{"flf2v-14B", 81, 50, 16, 16}, Row{"vace-1.3B", 81, 50, 16, 16},
        Row{"vace-14B", 81, 50, 16, 16}}) {
    SCOPED_TRACE(row.task);
    const WanTask& task = wan_task(row.task);
    const TaskSettings plain = settle(task, {}), small = settle(task, {.size = "480*832"});
    EXPECT_EQ(plain.frames, row.frames);
    EXPECT_EQ(plain.steps, row.steps);
    EXPECT_EQ(plain.guidance, 5);
    EXPECT_EQ(plain.solver, "unipc");
    EXPECT_EQ(plain.shift, plain.size.area() == 832 * 480 ? row.shift_480p : row.shift);
    EXPECT_EQ(small.shift, row.shift_480p);
    EXPECT_THAT(to_string(plain.size), AnyOf("1280*720", "832*480"));
  }
  EXPECT_EQ(settle(wan_task("i2v-14B"), {}).latent_frames(), 21);
}

TEST(WanTasks, EveryTaskHasAVariant) {
  for (const WanTask& task : wan_tasks()) {
    bool found = false;
    for (const WanVariant& row : wan_variants()) found |= row.model_type == task.model_type;
    EXPECT_TRUE(found) << task.name;
  }
}

TEST(WanTasks, WhatIsGivenWins) {
  const TaskSettings s =
      settle(wan_task("i2v-14B"),
             {.size = "832x480", .frames = 17, .steps = 8, .shift = 7.5, .guidance = 1, .solver = "euler"});
  EXPECT_EQ(s.size, (VideoSize{832, 480}));
  EXPECT_EQ(s.frames, 17);
  EXPECT_EQ(s.latent_frames(), 5);
  EXPECT_EQ(s.steps, 8);
  EXPECT_EQ(s.shift, 7.5);
  EXPECT_EQ(s.guidance, 1);
  EXPECT_EQ(s.solver, "euler");
}

TEST(WanTasks, SizesAreListed) {
  EXPECT_THAT(refusal("t2v-1.3B", {.size = "1280*720"}),
              HasSubstr("size 1280*720 is not among those of task t2v-1.3B: 832*480, 480*832"));
  EXPECT_THAT(refusal("i2v-14B", {.size = "1024*1024"}), HasSubstr("not among"));
  EXPECT_EQ(refusal("t2i-14B", {.size = "1024*1024"}), "no error");
  EXPECT_THAT(refusal("t2v-14B", {.size = "256*256"}), HasSubstr("--any-size"));
  EXPECT_EQ(refusal("t2v-14B", {.size = "256*256", .any_size = true}), "no error");
  EXPECT_THAT(refusal("t2v-14B", {.size = "264*256", .any_size = true}), HasSubstr("multiples of 16"));
}

TEST(WanTasks, SizesThatDoNotParse) {
  for (const char* text : {"", "832", "*", "832*", "*480", "832*480*3", "-832*480", "832 * 480", "8e2*480",
                           "0*0", "99999999999999999999*480", "16400*16", "832,480", "832*480\x1b[31m"}) {
    SCOPED_TRACE(text);
    EXPECT_THAT(refusal("t2v-14B", {.size = text, .any_size = true}), HasSubstr("is not a size"));
  }
}

TEST(WanTasks, FrameCounts) {
  EXPECT_THAT(refusal("t2v-14B", {.frames = 80}),
              HasSubstr("80 frames, expected 4n + 1 (the nearest are 77 and 81)"));
  EXPECT_THAT(refusal("t2v-14B", {.frames = 83}), HasSubstr("the nearest are 81 and 85"));
  EXPECT_THAT(refusal("t2v-14B", {.frames = 4}), HasSubstr("the nearest are 1 and 5"));
  EXPECT_THAT(refusal("t2v-14B", {.frames = 0}), HasSubstr("0 frames, expected 1 to 4093"));
  EXPECT_THAT(refusal("t2v-14B", {.frames = -3}), HasSubstr("-3 frames"));
  EXPECT_THAT(refusal("t2v-14B", {.frames = 4097}), HasSubstr("4097 frames"));
  EXPECT_THAT(refusal("t2i-14B", {.frames = 5}), HasSubstr("makes one picture"));
  EXPECT_EQ(refusal("t2v-14B", {.frames = 1}), "no error");
  EXPECT_THAT(refusal("t2v-14B", {.guidance = std::numeric_limits<double>::infinity()}),
              HasSubstr("guidance"));
}

TEST(WanTasks, UnknownTaskOffersTheNearest) {
  EXPECT_THAT(refusal("t2v-14b", {}), HasSubstr("did you mean \"t2v-14B\""));
}

TEST(WanTasks, NegativePromptIsTheOfficialOne) {
  EXPECT_EQ(negative_prompt(wan_task("t2v-14B"), "blurry"), "blurry");
  EXPECT_EQ(negative_prompt(wan_task("t2v-14B"), ""), kNegativePrompt);
  EXPECT_EQ(negative_prompt(wan_task("vace-1.3B"), ""), kNegativePrompt);
  EXPECT_EQ(negative_prompt(wan_task("i2v-14B"), ""), "镜头晃动，" + std::string(kNegativePrompt));
  EXPECT_EQ(negative_prompt(wan_task("flf2v-14B"), ""),
            "镜头切换，镜头晃动，" + std::string(kNegativePrompt));
  EXPECT_EQ(kNegativePrompt.size(), 403u);
  EXPECT_EQ(hash_hex(kNegativePrompt),
            "b8dd1629a92cb9b090694ce631c14ff4");  // of the text in the official shared_config.py
}

}  // namespace
}  // namespace wanslim
