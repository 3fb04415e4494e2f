// SPDX-License-Identifier: Apache-2.0
// Which layer gets which of its possible schemes, so that the whole has the smallest error within a size: the
// multiple-choice knapsack problem (Kellerer, Pferschy, Pisinger, Knapsack Problems, chapter 11). Solved
// along the convex hulls of the choices, then improved by moves and exchanges; the relaxation in which a
// layer may be split between two schemes tells how far from the best it can be at most.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace wanslim {

struct BudgetChoice {
  double error = 0;  // >= 0; errors of layers add up
  uint64_t bytes = 0;
};

struct BudgetPlan {
  std::vector<size_t> chosen;  // beside the items: index of the choice
  double error = 0;
  uint64_t bytes = 0;
  double bound = 0;  // no plan within the budget has a smaller error
};

// `items`: the choices of each layer, at least one. nullopt if the smallest choices do not fit. The same
// result on every machine; of equals the earlier choice.
std::optional<BudgetPlan> solve_budget(std::span<const std::vector<BudgetChoice>> items, uint64_t budget);

}  // namespace wanslim
