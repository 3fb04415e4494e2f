// SPDX-License-Identifier: Apache-2.0
#include "quant/budget.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace wanslim {
namespace {

using Choices = std::vector<BudgetChoice>;

constexpr int kMostRounds = 500;  // of moves and exchanges

// The choices on the lower convex hull of (bytes, error), from the smallest to the one of least error.
std::vector<size_t> hull_of(const Choices& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return choices[a].bytes != choices[b].bytes ? choices[a].bytes < choices[b].bytes
                                                : choices[a].error < choices[b].error;
  });
  const auto slope = [&](size_t from, size_t to) {  // error that a byte takes away
    return (choices[from].error - choices[to].error) /
           static_cast<double>(choices[to].bytes - choices[from].bytes);
  };
  std::vector<size_t> hull;
  for (const size_t next : order) {
    if (!hull.empty() && (choices[next].error >= choices[hull.back()].error ||
                          choices[next].bytes == choices[hull.back()].bytes))
      continue;
    while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next))
      hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

// From one choice on a hull to the next.
struct Step {
  size_t item, level;
  uint64_t bytes;
  double gain;
  double ratio() const { return gain / static_cast<double>(bytes); }
};

class Solver {
 public:
  Solver(std::span<const Choices> items, uint64_t budget) : items_(items), budget_(budget) {}

  std::optional<BudgetPlan> run() {
    for (const Choices& choices : items_) {
      CHECK(!choices.empty());
      hulls_.push_back(hull_of(choices));
      plan_.chosen.push_back(hulls_.back()[0]);
      plan_.bytes += choices[hulls_.back()[0]].bytes;
    }
    if (plan_.bytes > budget_) return std::nullopt;
    climb();
    int rounds = 0;
    while (rounds++ < kMostRounds && (move() || exchange())) {
    }
    plan_.error = error();
    plan_.bound = std::min(plan_.bound, plan_.error);
    return plan_;
  }

 private:
  const BudgetChoice& at(size_t item) const { return items_[item][plan_.chosen[item]]; }
  double error() const {
    double sum = 0;
    for (size_t i = 0; i < items_.size(); ++i) sum += at(i).error;
    return sum;
  }
  void set(size_t item, size_t choice) {
    plan_.bytes = plan_.bytes - at(item).bytes + items_[item][choice].bytes;
    plan_.chosen[item] = choice;
  }

  // Along the hulls, the best gain a byte first. Where the first step does not fit, a part of it would be the
  // optimum of the relaxation.
  void climb() {
    std::vector<Step> steps;
    for (size_t i = 0; i < items_.size(); ++i) {
      for (size_t l = 1; l < hulls_[i].size(); ++l) {
        const BudgetChoice &from = items_[i][hulls_[i][l - 1]], &to = items_[i][hulls_[i][l]];
        steps.push_back({i, l, to.bytes - from.bytes, from.error - to.error});
      }
    }
    std::stable_sort(steps.begin(), steps.end(),
                     [](const Step& a, const Step& b) { return a.ratio() > b.ratio(); });
    std::vector<size_t> level(items_.size());
    bool split = false;
    for (const Step& step : steps) {
      if (level[step.item] + 1 != step.level) continue;
      const uint64_t left = budget_ - plan_.bytes;
      if (step.bytes > left) {
        if (!split) plan_.bound = error() - step.ratio() * static_cast<double>(left);
        split = true;
        continue;
      }
      level[step.item] = step.level;
      set(step.item, hulls_[step.item][step.level]);
    }
    if (!split) plan_.bound = error();
  }

  // The one layer whose other choice fits and gains most.
  bool move() {
    double best = 0;
    size_t item = 0, choice = 0;
    for (size_t i = 0; i < items_.size(); ++i) {
      for (size_t k = 0; k < items_[i].size(); ++k) {
        const double gain = at(i).error - items_[i][k].error;
        if (gain <= best || plan_.bytes - at(i).bytes + items_[i][k].bytes > budget_) continue;
        best = gain, item = i, choice = k;
      }
    }
    if (best > 0) set(item, choice);
    return best > 0;
  }

  struct Change {
    size_t item, choice;
    int64_t bytes;
    double gain;
  };

  // The two layers that gain most together when one of them gets smaller for the other.
  bool exchange() {
    std::vector<Change> changes;
    for (size_t i = 0; i < items_.size(); ++i) {
      for (size_t k = 0; k < items_[i].size(); ++k) {
        const BudgetChoice& to = items_[i][k];
        if (k != plan_.chosen[i])
          changes.push_back({i, k, static_cast<int64_t>(to.bytes - at(i).bytes), at(i).error - to.error});
      }
    }
    const int64_t left = static_cast<int64_t>(budget_ - plan_.bytes);
    const double least = error() * 1e-12;  // what rounding could make of a loss
    double best = least;
    std::pair<const Change*, const Change*> found = {};
    for (const Change& up : changes) {
      if (up.gain <= best) continue;
      for (const Change& down : changes) {
        if (down.item == up.item || up.bytes + down.bytes > left || up.gain + down.gain <= best) continue;
        best = up.gain + down.gain;
        found = {&up, &down};
      }
    }
    if (best <= least) return false;
    set(found.first->item, found.first->choice);
    set(found.second->item, found.second->choice);
    return true;
  }

  std::span<const Choices> items_;
  const uint64_t budget_;
  std::vector<std::vector<size_t>> hulls_;
  BudgetPlan plan_;
};

}  // namespace

std::optional<BudgetPlan> solve_budget(std::span<const std::vector<BudgetChoice>> items, uint64_t budget) {
  return Solver(items, budget).run();
}

}  // namespace wanslim
