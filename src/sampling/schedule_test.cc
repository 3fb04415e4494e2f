// SPDX-License-Identifier: Apache-2.0
#include "sampling/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "sampling/guidance.h"
#include "sampling/solvers.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int64_t> unipc_timesteps(int64_t steps, double shift) {
  return make_schedule(solver("unipc").first_sigma, steps, shift).timesteps;
}

// The lists of spec wan-forward A8.1.
TEST(Schedule, TimestepsAreTruncatedAsInTheOfficialScheduler) {
  EXPECT_THAT(unipc_timesteps(50, 5),
              ElementsAre(999, 995, 991, 987, 982, 978, 973, 968, 963, 957, 952, 946, 940, 934, 927, 920, 913,
                          906, 898, 890, 882, 873, 863, 854, 843, 833, 821, 809, 796, 783, 768, 753, 737, 720,
                          701, 681, 660, 636, 611, 584, 555, 522, 487, 448, 405, 356, 302, 241, 172, 92));
  EXPECT_THAT(unipc_timesteps(40, 3),
              ElementsAre(999, 991, 982, 973, 963, 954, 944, 933, 922, 911, 899, 887, 874, 861, 847, 832, 817,
                          801, 785, 767, 749, 730, 710, 688, 666, 642, 617, 590, 562, 531, 499, 465, 428, 388,
                          345, 299, 249, 195, 136, 71));
  EXPECT_THAT(unipc_timesteps(50, 16),
              ElementsAre(999, 998, 997, 995, 994, 993, 991, 989, 988, 986, 984, 982, 980, 978, 976, 973, 971,
                          968, 965, 963, 959, 956, 953, 949, 945, 941, 936, 931, 926, 920, 914, 907, 899, 891,
                          882, 872, 861, 848, 834, 818, 799, 778, 752, 722, 685, 639, 581, 504, 399, 245));
  EXPECT_THAT(unipc_timesteps(8, 5), ElementsAre(999, 972, 937, 892, 833, 749, 624, 416));
  EXPECT_THAT(unipc_timesteps(4, 5), ElementsAre(999, 937, 833, 624));
  EXPECT_THAT(unipc_timesteps(2, 5), ElementsAre(999, 833));
}

TEST(Schedule, DpmppStartsAtPureNoise) {
  std::vector<int64_t> want = unipc_timesteps(50, 5);
  const std::vector<std::pair<int64_t, int64_t>> other = {{999, 1000}, {920, 921}, {863, 864}, {843, 844},
                                                          {796, 797},  {768, 769}, {636, 637}, {611, 612},
                                                          {584, 585},  {522, 523}, {356, 357}, {302, 303}};
  for (const auto& [from, to] : other) *std::find(want.begin(), want.end(), from) = to;
  EXPECT_EQ(make_schedule(solver("dpm++").first_sigma, 50, 5).timesteps, want);
}

TEST(Schedule, SolverSeesTheExactLevels) {
  const Schedule s = make_schedule(solver("unipc").first_sigma, 50, 5);
  ASSERT_EQ(s.sigmas.size(), 51u);
  EXPECT_NEAR(s.sigmas[0], 0.999800, 5e-7);
  EXPECT_NEAR(s.sigmas[1], 0.995732, 5e-7);
  EXPECT_NEAR(s.sigmas[49], 0.092507, 5e-7);
  EXPECT_EQ(s.sigmas[50], 0);
}

std::string refusal(int64_t steps, double shift) {
  try {
    make_schedule(1, steps, shift);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Schedule, RefusesWhatCannotBeSampled) {
  EXPECT_THAT(refusal(0, 5), HasSubstr("0 sampling steps, expected 1 to 1000"));
  EXPECT_THAT(refusal(-3, 5), HasSubstr("-3 sampling steps"));
  EXPECT_THAT(refusal(1001, 5), HasSubstr("1001 sampling steps"));
  EXPECT_THAT(refusal(10, 0), HasSubstr("shift is 0"));
  EXPECT_THAT(refusal(10, -1), HasSubstr("shift is -1"));
  EXPECT_THAT(refusal(10, std::numeric_limits<double>::quiet_NaN()), HasSubstr("shift is nan"));
  EXPECT_THAT(refusal(10, 1e9), HasSubstr("shift is"));
  EXPECT_THAT(refusal(1000, 1000), HasSubstr("no error"));
}

TEST(Guidance, IsLinearFromUncondToCond) {
  const std::vector<float> cond = {1, -2, 0.5f}, uncond = {0.5f, 1, 0.5f};
  std::vector<float> out(3);
  guide(cond, uncond, 5, out);
  EXPECT_THAT(out, ElementsAre(3.0f, -14.0f, 0.5f));
  guide(cond, uncond, 1, out);
  EXPECT_EQ(out, cond);
  guide(cond, uncond, 0, out);
  EXPECT_EQ(out, uncond);
}

}  // namespace
}  // namespace wanslim
