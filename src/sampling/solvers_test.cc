// SPDX-License-Identifier: Apache-2.0
#include "sampling/solvers.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "support/golden.h"

namespace wanslim {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using testing::read_golden;
using testing::rel_l2;

// The velocity of the reference trajectories: v = A x + b sin(t / 100), A acts on the 4 channels.
std::vector<float> toy_velocity(const Tensor& a, const Tensor& b, std::span<const float> x, int64_t t) {
  std::vector<float> v(x.size());
  const size_t inner = x.size() / 4;
  for (size_t row = 0; row < 4; ++row) {
    for (size_t k = 0; k < inner; ++k) {
      double sum = b.as<float>()[row] * std::sin(static_cast<double>(t) / 100);
      for (size_t c = 0; c < 4; ++c)
        sum += static_cast<double>(a.as<float>()[row * 4 + c]) * x[c * inner + k];
      v[row * inner + k] = static_cast<float>(sum);
    }
  }
  return v;
}

struct Golden {
  const char* folder;
  const char* solver;
};

class OfficialTrajectory : public ::testing::TestWithParam<Golden> {};

TEST_P(OfficialTrajectory, EveryStepAgrees) {
  const auto golden =
      read_golden(std::string("official/samplers/") + GetParam().folder + "/traj.safetensors");
  const Solver& row = solver(GetParam().solver);
  const Tensor &a = golden.at("A"), &b = golden.at("b");
  double worst = 0;
  for (int64_t steps : {4, 8, 20, 50}) {
    for (int shift : {1, 3, 5, 8, 16}) {
      const std::string key = "n" + std::to_string(steps) + "_s" + std::to_string(shift);
      SCOPED_TRACE(key);
      const Schedule schedule = make_schedule(row.first_sigma, steps, shift);
      EXPECT_THAT(schedule.sigmas, ElementsAreArray(golden.at(key + ".sigmas").as<float>()));
      EXPECT_THAT(schedule.timesteps, ElementsAreArray(golden.at(key + ".timesteps").as<int64_t>()));
      const std::span<const float> want = golden.at(key + ".f32.x").as<float>();
      const std::span<const float> start = golden.at("x0").as<float>();
      std::vector<float> x(start.begin(), start.end());
      SolverState state;
      for (size_t i = 0; i < schedule.timesteps.size(); ++i) {
        row.step(schedule, state, toy_velocity(a, b, x, schedule.timesteps[i]), x);
        const double error = rel_l2<float, float>(x, want.subspan((i + 1) * x.size(), x.size()));
        worst = std::max(worst, error);
        EXPECT_LE(error, 2e-6) << "step " << i;  // f32_impl.rel_l2_per_step of case.json
      }
    }
  }
  // Our double scalars are about as near to the float reference as that is to double (4e-7).
  EXPECT_LE(worst, 1e-6);
  RecordProperty("worst_rel_l2", fmt::format("{:.2e}", worst));
}

INSTANTIATE_TEST_SUITE_P(All, OfficialTrajectory,
                         ::testing::Values(Golden{"unipc", "unipc"}, Golden{"dpmpp", "dpm++"}),
                         [](const auto& i) { return std::string(i.param.folder); });

TEST(UniPC, StartsAtTheFirstLevelWhenItsTimestepOccursTwice) {
  // From 68 steps on at shift 16 the first two timesteps are equal; the official index search starts at 1
  // then.
  const Solver& row = solver("unipc");
  const Schedule schedule = make_schedule(row.first_sigma, 80, 16);
  ASSERT_EQ(schedule.timesteps[0], schedule.timesteps[1]);
  // For v = noise - x0 with one x0 every solver must land on x0 exactly, if it used every level once.
  SolverState state;
  std::vector<float> x = {1.0f - 0.0f, -2.0f};
  const std::vector<float> x0 = {0.25f, 0.5f};
  for (int64_t i = 0; i < schedule.steps(); ++i) {
    const float sigma = schedule.sigmas[static_cast<size_t>(i)];
    std::vector<float> v;
    for (size_t k = 0; k < 2; ++k) v.push_back((x[k] - x0[k]) / sigma);
    row.step(schedule, state, v, x);
  }
  EXPECT_EQ(state.step, 80);
  EXPECT_NEAR(x[0], x0[0], 1e-6);
  EXPECT_NEAR(x[1], x0[1], 1e-6);
}

TEST(Euler, FollowsTheFlowInStraightSteps) {
  // v = x at shift 1: each of N steps multiplies by 1 - 1/N.
  const Solver& row = solver("euler");
  const Schedule schedule = make_schedule(row.first_sigma, 10, 1);
  std::vector<float> x = {1, -3};
  SolverState state;
  for (int i = 0; i < 10; ++i) row.step(schedule, state, std::vector<float>(x), x);
  EXPECT_NEAR(x[0], std::pow(0.9, 10), 1e-6);
  EXPECT_NEAR(x[1], -3 * std::pow(0.9, 10), 1e-6);
}

TEST(Solvers, GoOnFromASavedState) {
  for (const Solver& row : solvers()) {
    const Schedule schedule = make_schedule(row.first_sigma, 7, 5);
    const std::vector<float> start = {1.5f, -0.25f, 0.75f};
    const auto run = [&](int64_t from, int64_t to, SolverState state, std::vector<float> x) {
      for (int64_t i = from; i < to; ++i) {
        std::vector<float> v;
        for (float value : x) v.push_back(0.5f * value + static_cast<float>(i));
        row.step(schedule, state, v, x);
      }
      return std::pair(state, x);
    };
    const auto whole = run(0, 7, {}, start);
    const auto half = run(0, 4, {}, start);
    const auto rest = run(4, 7, half.first, half.second);
    EXPECT_EQ(whole.second, rest.second) << row.name;
    EXPECT_EQ(whole.first, rest.first) << row.name;
  }
}

TEST(Solvers, UnknownNameOffersTheNearest) {
  try {
    solver("dpmpp");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("unknown solver \"dpmpp\""));
    EXPECT_THAT(e.text, HasSubstr("unipc, dpm++ and euler"));
    EXPECT_EQ(e.parts.kind, Error::Kind::kUsage);
  }
}

TEST(Solvers, BitsDoNotDependOnTheMachine) {
  std::vector<float> all;
  for (const Solver& row : solvers()) {
    const Schedule schedule = make_schedule(row.first_sigma, 12, 5);
    std::vector<float> x = {1.5f, -0.25f, 0.75f, 3.0f};
    SolverState state;
    for (int64_t t : schedule.timesteps) {
      std::vector<float> v;
      for (float value : x) v.push_back(0.5f * value + static_cast<float>(t) / 1024);
      row.step(schedule, state, v, x);
      all.insert(all.end(), x.begin(), x.end());
    }
  }
  EXPECT_EQ(hash_hex(std::as_bytes(std::span(all))), "0a69b9d08e424fd4aa479a91526aa621");
}

}  // namespace
}  // namespace wanslim
