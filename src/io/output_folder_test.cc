// SPDX-License-Identifier: Apache-2.0
#include "io/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

const Json kJob = {{"recipe", "abc"}, {"input", "xyz"}};

OutputFolder open(const Path& dir, const Json& job = kJob, bool overwrite = false) {
  return OutputFolder::open(dir, job, {"w.bin", "d.json"}, overwrite);
}

std::string open_error(const Path& dir, const Json& job = kJob) {
  try {
    open(dir, job);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(OutputFolder, NothingHasItsFinalNameBeforeCommit) {
  TempDir dir;
  OutputFolder folder = open(dir / "out");
  folder.partial("w.bin").append("weights");
  folder.put("d.json", "{}");
  EXPECT_FALSE(std::filesystem::exists(dir / "out/w.bin"));
  folder.commit({"w.bin", "d.json"});
  EXPECT_EQ(read_text(dir / "out/w.bin", 100), "weights");
  EXPECT_FALSE(std::filesystem::exists(dir / "out/.wanslim"));
}

TEST(OutputFolder, GoesOnWithTheRecordsOfTheSameJobOnly) {
  TempDir dir;
  {
    OutputFolder folder = open(dir.path());
    EXPECT_FALSE(folder.resumed());
    folder.record({{"layer", "a"}});
    folder.record({{"layer", "b"}});
  }
  EXPECT_THAT(open_error(dir.path(), {{"recipe", "other"}, {"input", "xyz"}}), HasSubstr("another recipe"));
  EXPECT_THAT(open_error(dir.path(), {{"recipe", "abc"}, {"input", "changed"}}), HasSubstr("another input"));
  const OutputFolder again = open(dir.path());
  EXPECT_TRUE(again.resumed());
  ASSERT_EQ(again.records().size(), 2u);
  EXPECT_EQ(again.records()[1]["layer"], "b");
}

TEST(OutputFolder, ATornOrDamagedRecordEndsTheJournal) {
  TempDir dir;
  {
    OutputFolder folder = open(dir.path());
    folder.record({{"layer", "a"}});
    folder.record({{"layer", "b"}});
  }
  const Path journal = dir / ".wanslim/journal";
  const std::string whole = read_text(journal, 10000);
  for (size_t cut = 1; cut < 40; cut += 13) {
    testing::write_text(journal, whole.substr(0, whole.size() - cut));
    EXPECT_EQ(open(dir.path()).records().size(), 1u);
  }
  std::string damaged = whole;
  damaged[damaged.size() - 4] ^= 1;
  testing::write_text(journal, damaged);
  EXPECT_EQ(open(dir.path()).records().size(), 1u);
  testing::write_text(journal, whole.substr(0, 10));  // killed while the first record was written
  EXPECT_FALSE(open(dir.path()).resumed());
}

TEST(OutputFolder, FinishesACommitThatWasCutOff) {
  TempDir dir;
  {
    OutputFolder folder = open(dir.path());
    folder.put("w.bin", "w");
    folder.put("d.json", "d");
    folder.record({{"commit", {"w.bin", "d.json"}}});
    rename_file(dir / ".wanslim/w.bin", dir / "w.bin");  // and killed here
  }
  OutputFolder folder = open(dir.path());
  EXPECT_TRUE(folder.committed());
  folder.commit({});
  EXPECT_EQ(read_text(dir / "d.json", 10), "d");
  EXPECT_FALSE(std::filesystem::exists(dir / ".wanslim"));
}

TEST(OutputFolder, RefusesAFinishedResultUnlessToldToReplaceIt) {
  TempDir dir;
  testing::write_text(dir / "d.json", "old");
  EXPECT_THAT(open_error(dir.path()), HasSubstr("already holds d.json"));
  EXPECT_FALSE(std::filesystem::exists(dir / ".wanslim"));
  OutputFolder folder = open(dir.path(), kJob, true);
  folder.put("d.json", "new");
  EXPECT_EQ(read_text(dir / "d.json", 10), "old");
  folder.commit({"d.json"});
  EXPECT_EQ(read_text(dir / "d.json", 10), "new");
}

TEST(OutputFolder, TwoRunsDoNotShareAFolder) {
  TempDir dir;
  const OutputFolder first = open(dir.path());
  EXPECT_THAT(open_error(dir.path()), HasSubstr("another run is writing"));
}

TEST(OutputFolder, LooksAtTheSpaceFirst) {
  TempDir dir;
  const OutputFolder folder = open(dir.path());
  folder.check_space(1000);
  EXPECT_THROW(folder.check_space(uint64_t{1} << 60), Error);
}

TEST(OutputFolder, DiscardLeavesNothing) {
  TempDir dir;
  OutputFolder folder = open(dir / "new");
  folder.partial("w.bin");
  folder.discard();
  EXPECT_FALSE(std::filesystem::exists(dir / "new"));
}

}  // namespace
}  // namespace wanslim
