// SPDX-License-Identifier: Apache-2.0
#include "quant/budget.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace wanslim {
namespace {

using Items = std::vector<std::vector<BudgetChoice>>;

uint64_t bytes_of(const Items& items, const std::vector<size_t>& chosen) {
  uint64_t sum = 0;
  for (size_t i = 0; i < items.size(); ++i) sum += items[i][chosen[i]].bytes;
  return sum;
}

double error_of(const Items& items, const std::vector<size_t>& chosen) {
  double sum = 0;
  for (size_t i = 0; i < items.size(); ++i) sum += items[i][chosen[i]].error;
  return sum;
}

// Every combination.
double best_error(const Items& items, uint64_t budget) {
  double best = -1;
  std::vector<size_t> chosen(items.size());
  for (;;) {
    if (bytes_of(items, chosen) <= budget && (best < 0 || error_of(items, chosen) < best))
      best = error_of(items, chosen);
    size_t i = 0;
    while (i < items.size() && ++chosen[i] == items[i].size()) chosen[i++] = 0;
    if (i == items.size()) return best;
  }
}

TEST(Budget, TakesTheLeastErrorThatFits) {
  const Items items = {{{8, 4}, {4, 6}, {1, 12}}, {{2, 4}, {1.5, 6}, {1, 12}}};
  EXPECT_FALSE(solve_budget(items, 7));
  EXPECT_EQ(solve_budget(items, 8)->chosen, (std::vector<size_t>{0, 0}));
  EXPECT_EQ(solve_budget(items, 10)->chosen, (std::vector<size_t>{1, 0}));
  EXPECT_EQ(solve_budget(items, 16)->chosen, (std::vector<size_t>{2, 0}));
  const auto all = solve_budget(items, 1000);
  EXPECT_EQ(all->chosen, (std::vector<size_t>{2, 2}));
  EXPECT_EQ(all->bytes, 24u);
  EXPECT_DOUBLE_EQ(all->error, 2);
  EXPECT_DOUBLE_EQ(all->bound, 2);  // the proof that nothing is better
}

TEST(Budget, IgnoresWhatIsLargerAndWorse) {
  const Items items = {{{1, 10}, {1, 8}, {5, 9}, {5, 2}}};
  EXPECT_EQ(solve_budget(items, 100)->chosen[0], 1u);
  EXPECT_EQ(solve_budget(items, 7)->chosen[0], 3u);
}

// A choice above the hull can be the best one that fits.
TEST(Budget, FillsWhatIsLeftWithChoicesBesideTheHull) {
  const Items items = {{{10, 0}, {8, 5}, {0, 10}}};
  EXPECT_EQ(solve_budget(items, 7)->chosen[0], 1u);
}

// Against every combination: never out of budget, never above the optimum by more than the bound tells, and
// nearly always the optimum itself.
TEST(Budget, IsTheOptimumOrNearlySo) {
  std::mt19937 random(11);
  int optimal = 0, feasible = 0;
  for (int round = 0; round < 400; ++round) {
    Items items(2 + random() % 5);
    uint64_t smallest = 0, largest = 0;
    for (auto& choices : items) {
      choices.resize(1 + random() % 5);
      uint64_t least = ~uint64_t{0}, most = 0;
      for (BudgetChoice& c : choices) {
        c = {static_cast<double>(random() % 1000) / 10, 1 + random() % 50};
        least = std::min(least, c.bytes), most = std::max(most, c.bytes);
      }
      smallest += least, largest += most;
    }
    const uint64_t budget = smallest - 1 + random() % (largest - smallest + 3);
    const auto plan = solve_budget(items, budget);
    ASSERT_EQ(plan.has_value(), budget >= smallest);
    if (!plan) continue;
    ++feasible;
    const double best = best_error(items, budget);
    EXPECT_LE(plan->bytes, budget);
    EXPECT_EQ(plan->bytes, bytes_of(items, plan->chosen));
    EXPECT_DOUBLE_EQ(plan->error, error_of(items, plan->chosen));
    EXPECT_LE(plan->bound, best + 1e-9);
    EXPECT_GE(plan->error, best - 1e-9);
    optimal += plan->error < best + 1e-9;
  }
  EXPECT_GT(feasible, 300);
  EXPECT_GT(optimal, feasible * 95 / 100);
}

// 400 layers as a model has them: the proven gap is far below what anybody could see.
TEST(Budget, TheGapIsSmallForARealModel) {
  std::mt19937 random(5);
  Items items(400);
  uint64_t whole = 0;
  for (auto& choices : items) {
    const uint64_t weights = 1000000 * (1 + random() % 7);
    const double scale = 0.5 + static_cast<double>(random() % 1000) / 1000;
    for (const double bits : {2.6, 3.4, 4.5, 5.5, 6.6, 8.5})
      choices.push_back({static_cast<double>(weights) * scale * std::pow(4.0, -bits),
                         static_cast<uint64_t>(static_cast<double>(weights) * bits / 8)});
    whole += weights;
  }
  const auto plan = solve_budget(items, whole * 52 / 80);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, whole * 52 / 80);
  EXPECT_LE(plan->error, plan->bound * 1.001);
}

}  // namespace
}  // namespace wanslim
