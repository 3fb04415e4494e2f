// SPDX-License-Identifier: Apache-2.0
#include "base/byte_size.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace wanslim {
namespace {

TEST(ByteSize, DecimalAndBinaryUnits) {
  EXPECT_EQ(parse_byte_size("4GB", "x"), 4'000'000'000u);
  EXPECT_EQ(parse_byte_size("4g", "x"), 4'000'000'000u);
  EXPECT_EQ(parse_byte_size("1.5GiB", "x"), 1'610'612'736u);
  EXPECT_EQ(parse_byte_size("512Mi", "x"), 536'870'912u);
  EXPECT_EQ(parse_byte_size("100", "x"), 100u);
  EXPECT_EQ(parse_byte_size("2kb", "x"), 2000u);
}

TEST(ByteSize, RefusesTheRest) {
  for (const char* text : {"", "GB", "4XB", "0", "-1GB", "4 GB", "1e30GB", "nan", "inf", "4GBB", "4bi"}) {
    EXPECT_THROW(parse_byte_size(text, "--memory"), Error) << text;
  }
}

}  // namespace
}  // namespace wanslim
