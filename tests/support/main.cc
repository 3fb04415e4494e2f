// SPDX-License-Identifier: Apache-2.0
// main of a folder's test program:
//   io_test [npy_test.cc] [GoogleTest's options]     the tests of one source file, or all
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace {

// GoogleTest's filter that chooses the tests which stand in `file`.
std::string tests_of(std::string_view file) {
  std::string filter;
  const auto& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const std::string_view path = suite.GetTestInfo(t)->file();
      if (path.substr(path.rfind('/') + 1) != file) continue;
      filter += std::string(suite.name()) + "." + suite.GetTestInfo(t)->name() + ":";
    }
  }
  return filter;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) {
    const std::string filter = tests_of(argv[1]);
    if (filter.empty()) {
      std::fprintf(stderr, "error: no test stands in %s\n", argv[1]);
      return 2;
    }
    GTEST_FLAG_SET(filter, filter);
  }
  return RUN_ALL_TESTS();
}
