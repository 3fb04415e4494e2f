// SPDX-License-Identifier: Apache-2.0
#include "base/profile.h"

#include <gtest/gtest.h>

#include <thread>

namespace wanslim {
namespace {

// Takes a while that the clock can see.
void wait_a_little() {
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() == begin) {
  }
}

const Profile::Row* find(const std::vector<Profile::Row>& rows, const std::string& kind) {
  for (const Profile::Row& row : rows) {
    if (row.kind == kind) return &row;
  }
  return nullptr;
}

TEST(Profile, CountsNothingBeforeTheStart) {
  { const Timed t("early"); }
  EXPECT_TRUE(Profile::rows().empty());
}

TEST(Profile, AddsUpByKindWithoutWhatIsInside) {
  Profile::start();
  for (int i = 0; i < 2; ++i) {
    const Timed outer("outer", 10);
    wait_a_little();
    for (int j = 0; j < 3; ++j) {
      const Timed inner("inner", 1);
      wait_a_little();
    }
  }
  std::thread([] { const Timed t("outer", 5); }).join();
  const double whole = Profile::seconds();
  const std::vector<Profile::Row> rows = Profile::rows();
  ASSERT_EQ(rows.size(), 3u);
  const Profile::Row *outer = find(rows, "outer"), *inner = find(rows, "inner"),
                     *other = find(rows, "outer, in the background");
  ASSERT_TRUE(outer != nullptr && inner != nullptr && other != nullptr);
  EXPECT_EQ(outer->calls, 2);
  EXPECT_EQ(inner->calls, 6);
  EXPECT_EQ(outer->operations, 20);
  EXPECT_EQ(inner->operations, 6);
  EXPECT_EQ(other->operations, 5);
  EXPECT_GT(outer->seconds, 0);
  EXPECT_GT(inner->seconds, 0);
  EXPECT_LE(outer->seconds + inner->seconds, whole);
  EXPECT_GE(rows[0].seconds, rows[1].seconds);
  Profile::start();
  EXPECT_TRUE(Profile::rows().empty());
}

}  // namespace
}  // namespace wanslim
