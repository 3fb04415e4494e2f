// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/spelling.h"
#include "base/threads.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

std::string json_error(std::string_view text) {
  try {
    parse_json(text, "f.json");
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Error, ShowsPlaceProblemAndRemedyOnOneLine) {
  const Error e({.what = "bad\nthing", .where = "file\x1b[31m", .hint = "mend it"});
  EXPECT_EQ(e.text, "file?[31m: bad?thing (mend it)");
}

TEST(Json, NamesThePlaceOfASyntaxError) {
  EXPECT_THAT(json_error("{\n \"a\": 1,,}"), HasSubstr("line 2"));
}

TEST(Json, RefusesDuplicateKeysDepthTrailingBytesAndBadUtf8) {
  EXPECT_THAT(json_error(R"({"a":1,"a":2})"), HasSubstr("\"a\" stands twice"));
  EXPECT_THAT(json_error(std::string(65, '[') + std::string(65, ']')), HasSubstr("deeper than 64"));
  EXPECT_THAT(json_error("{} x"), HasSubstr("invalid JSON"));
  EXPECT_THAT(json_error("\"\xff\""), HasSubstr("invalid JSON"));
  EXPECT_THAT(json_error(""), HasSubstr("invalid JSON"));
}

TEST(Json, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"b":1,"a":2})", "").dump(), R"({"b":1,"a":2})");
}

TEST(Json, TypedAccessSaysWhatItGot) {
  const Json j = parse_json(R"({"n":"x","big":18446744073709551615})", "");
  EXPECT_THROW(json_int(j, "n", "f"), Error);
  EXPECT_THROW(json_int(j, "big", "f"), Error);
  EXPECT_THROW(json_int(j, "missing", "f"), Error);
  EXPECT_EQ(json_string(j, "n", "f"), "x");
}

TEST(Json, IsBuiltFromBracesAndWrittenInThatOrder) {
  Json j = {
      {"z", 1}, {"list", {1.5, -2, "x", nullptr, true}}, {"pairs", {{"k", uint64_t{18446744073709551615u}}}}};
  j["shape"] = std::vector<int64_t>{2, 3};
  j["names"] = std::map<std::string, std::string>{{"b", "1"}, {"a", "\xc3\xa9"}};
  j.update({{"z", 7}, {"empty", Json::array()}, {"none", Json::object()}});
  const std::string text =
      R"({"z":7,"list":[1.5,-2,"x",null,true],"pairs":{"k":18446744073709551615},"shape":[2,3],)"
      "\"names\":{\"a\":\"\xc3\xa9\",\"b\":\"1\"},\"empty\":[],\"none\":{}}";
  EXPECT_EQ(j.dump(), text);
  EXPECT_EQ(parse_json(text, ""), j);
  EXPECT_EQ(j["names"].dump(-1, Json::Text::kAscii), R"({"a":"\u00e9","b":"1"})");
  EXPECT_EQ(Json({{"a", {1, 2}}}).dump(2), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
  EXPECT_ANY_THROW(Json("\xff").dump());
  EXPECT_EQ(Json("\xff").dump(-1, Json::Text::kReplaced), "\"\xef\xbf\xbd\"");
}

TEST(Json, ComparesNumbersByValueAndObjectsWithTheirOrder) {
  EXPECT_EQ(Json(1), Json(1u));
  EXPECT_EQ(Json(1), Json(1.0));
  EXPECT_NE(Json(-1), Json(UINT64_MAX));
  EXPECT_NE(Json(0), Json(false));
  EXPECT_NE(Json({{"a", 1}, {"b", 2}}), Json({{"b", 2}, {"a", 1}}));
  EXPECT_NE(Json::array(), Json::object());
}

TEST(Json, GivesValuesOfTheirTypeAlone) {
  const Json j = parse_json(R"({"n":3,"x":0.5,"s":"t","l":[1,2],"m":{"k":"v"}})", "");
  EXPECT_EQ(j["n"].get<int>(), 3);
  EXPECT_EQ(j["n"].get<double>(), 3.0);
  EXPECT_EQ(j["l"].get<std::vector<int64_t>>(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ((j["m"].get<std::map<std::string, std::string>>().at("k")), "v");
  EXPECT_EQ(j.value("absent", 1.5f), 1.5f);
  EXPECT_EQ(j.value("n", 0), 3);
  EXPECT_THROW(j["x"].get<int>(), Error);
  EXPECT_THROW(j["s"].get<double>(), Error);
  EXPECT_THROW(j["n"].get<std::string>(), Error);
  EXPECT_THROW(j["n"].get<std::vector<int>>(), Error);
  EXPECT_THROW(j["l"][2], Error);
  EXPECT_THROW(j["l"].at("k"), Error);
  EXPECT_THROW(j.at("absent"), Error);
}

TEST(Hash, IsTheCanonicalXxh3AndStreamsToTheSameValue) {
  EXPECT_EQ(hash_hex(std::string_view("")), "99aa06d3014798d86001c324468d497f");  // published test vector
  Hasher hasher;
  const std::string text(100000, 'q');
  hasher.update(std::as_bytes(std::span(text)).first(777));
  hasher.update(std::as_bytes(std::span(text)).subspan(777));
  EXPECT_EQ(hasher.digest(), hash_hex(text));
}

TEST(Spelling, FindsASlipAndNotAStranger) {
  const std::vector<std::string> known = {"minmax", "mse_round", "ssz"};
  EXPECT_EQ(nearest("minmx", known), "minmax");
  EXPECT_EQ(nearest("MinMax", known), "minmax");
  EXPECT_EQ(nearest("completely", known), "");
}

TEST(Threads, ParallelForCoversEachIndexOnceForAnyWidth) {
  for (int width : {1, 2, 5}) {
    set_threads(width);
    std::vector<std::atomic<int>> seen(1003);
    parallel_for(1003, 10, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 10, 0);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (auto& count : seen) ASSERT_EQ(count, 1);
  }
  set_threads(0);
}

TEST(Threads, LoopsOfSeveralThreadsAndLoopsInLoopsAllFinish) {
  set_threads(3);
  std::atomic<int64_t> sum{0};
  const auto many = [&] {
    for (int round = 0; round < 200; ++round) {
      parallel_for(20, 1, [&](int64_t begin, int64_t) {
        parallel_for(2, 1, [&](int64_t inner, int64_t) { sum += begin * 2 + inner; });
      });
    }
  };
  std::thread other(many), third(many);
  many();
  other.join();
  third.join();
  EXPECT_EQ(sum, 3 * 200 * (39 * 40 / 2));
  set_threads(0);
}

TEST(Threads, SerialLoopsKeepTheLoopsOfTheirThreadOnIt) {
  const auto threads_seen = [] {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(64, 1, [&](int64_t, int64_t) {
      std::this_thread::yield();
      std::lock_guard guard(mutex);
      seen.insert(std::this_thread::get_id());
    });
    return seen;
  };
  set_threads(4);
  {
    const SerialLoops serial;
    {
      const SerialLoops inner(false);  // does not undo the outer one
      EXPECT_EQ(threads_seen(), std::set{std::this_thread::get_id()});
    }
    EXPECT_EQ(threads_seen(), std::set{std::this_thread::get_id()});
  }
  const SerialLoops off(false);
  bool helped = false;  // a helper may come too late for one loop, not for all of them
  for (int i = 0; i < 1000 && !helped; ++i) helped = threads_seen().size() > 1;
  EXPECT_TRUE(helped);
  set_threads(0);
}

TEST(Threads, RethrowsTheFirstFailure) {
  set_threads(4);
  auto fail = [](int64_t begin, int64_t) {
    if (begin >= 40) throw std::runtime_error(std::to_string(begin));
  };
  try {
    parallel_for(100, 10, fail);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_GE(std::stoi(e.what()), 40);
  }
  std::atomic<int> started{0};
  EXPECT_THROW(run_workers(3, 1000,
                           [&](int64_t) {
                             ++started;
                             throw std::runtime_error("x");
                           }),
               std::runtime_error);
  EXPECT_LE(started, 3);
  set_threads(0);
}

}  // namespace
}  // namespace wanslim
