// SPDX-License-Identifier: Apache-2.0
#include "models/umt5_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "io/testing.h"

namespace wanslim {
namespace {

const Path kGolden = Path(WANSLIM_TESTDATA) / "official/tokenizer";

void expect_golden(const Umt5Tokenizer& tokenizer, const std::string& folder) {
  const Json golden = parse_json(read_text(kGolden / folder / "golden.json", 1 << 20), folder);
  int wrong = 0;
  for (const Json& c : golden.at("cases")) {
    const auto want = c.at("ids").get<std::vector<int32_t>>();
    const auto got = tokenizer.encode(c.at("text").get<std::string>());
    if (got != want && ++wrong < 10)
      ADD_FAILURE() << c.at("text") << " " << Json(got) << " want " << Json(want);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(golden.at("cases").size(), 253u);
}

TEST(Umt5Tokenizer, ids_are_the_official_ones_from_tokenizer_json) {
  for (const char* folder : {"identity_nobytes", "nmt_nfkc_bytes"}) {
    SCOPED_TRACE(folder);
    expect_golden(Umt5Tokenizer::open(kGolden / folder / "tokenizer.json"), folder);
  }
}

TEST(Umt5Tokenizer, ids_are_the_official_ones_from_spiece_model) {
  for (const char* folder : {"identity_nobytes", "nmt_nfkc_bytes", "nmt_nfkc_nobytes"}) {
    SCOPED_TRACE(folder);
    const Umt5Tokenizer tokenizer = Umt5Tokenizer::open(kGolden / folder / "spiece.model");
    expect_golden(tokenizer, folder);
    EXPECT_EQ(tokenizer.vocabulary(), std::string(folder) == "nmt_nfkc_bytes" ? 1600 : 1400);
  }
}

}  // namespace
}  // namespace wanslim
