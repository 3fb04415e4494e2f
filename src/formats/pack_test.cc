// SPDX-License-Identifier: Apache-2.0
#include "formats/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/model_testing.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;

Tensor codes(Shape shape, const std::vector<int>& values) {
  Tensor t(DType::kI8, std::move(shape));
  for (size_t i = 0; i < values.size(); ++i) t.as<int8_t>()[i] = static_cast<int8_t>(values[i]);
  return t;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.raw().begin(), a.raw().end(), b.raw().begin());
}

// The example of the reference's tests for pack_int4.
TEST(Pack, FirstCodeOfAPairIsTheLowNibble) {
  const Tensor t = codes({2, 4}, {1, 2, 3, 4, 5, 6, 7, -8});
  const Tensor rows = pack_int4_along_rows(t);
  EXPECT_EQ(rows.shape(), (Shape{2, 2}));
  EXPECT_THAT(rows.as<uint8_t>(), ElementsAre(0x21, 0x43, 0x65, 0x87));
  const Tensor columns = pack_int4_along_columns(t);
  EXPECT_EQ(columns.shape(), (Shape{1, 4}));
  EXPECT_THAT(columns.as<uint8_t>(), ElementsAre(0x51, 0x62, 0x73, 0x84));
}

// As the package compressed-tensors 0.20.0 packs these codes.
TEST(Pack, Int32WordsHoldTheFirstCodeInTheLowestBits) {
  const Tensor four = pack_into_int32(codes({1, 9}, {-8, -7, -6, 0, 1, 2, 6, 7, 3}), 4);
  EXPECT_EQ(four.shape(), (Shape{1, 2}));
  EXPECT_EQ(static_cast<uint32_t>(four.as<int32_t>()[0]), 0xfea98210u);
  EXPECT_EQ(four.as<int32_t>()[1], 0xb);
  const Tensor eight = pack_into_int32(codes({1, 4}, {-128, -1, 0, 127}), 8);
  EXPECT_EQ(static_cast<uint32_t>(eight.as<int32_t>()[0]), 0xff807f00u);
  for (const int64_t in : {1, 7, 8, 9, 64}) {
    Tensor t = testing::pattern(DType::kI8, {3, in}, 5);
    EXPECT_TRUE(same(unpack_from_int32(pack_into_int32(t, 8), 8, in), t));
    for (int8_t& x : t.as<int8_t>()) x = static_cast<int8_t>(x % 8);
    EXPECT_TRUE(same(unpack_from_int32(pack_into_int32(t, 4), 4, in), t));
  }
}

TEST(Pack, ComesBack) {
  Tensor t = testing::pattern(DType::kI8, {6, 10}, 3);
  for (int8_t& x : t.as<int8_t>()) x = static_cast<int8_t>(x % 9 - (x < 0 ? 0 : 1) % 8);
  for (int8_t& x : t.as<int8_t>()) x = static_cast<int8_t>(std::max<int>(-8, std::min<int>(7, x)));
  EXPECT_TRUE(same(unpack_int4_along_rows(pack_int4_along_rows(t)), t));
  EXPECT_TRUE(same(unpack_int4_along_columns(pack_int4_along_columns(t)), t));
  const Tensor bytes = testing::pattern(DType::kU8, {3, 5}, 4);
  EXPECT_EQ(swap_nibbles(bytes).as<uint8_t>()[0], bytes.as<uint8_t>()[0] >> 4 | (bytes.as<uint8_t>()[0] & 15)
                                                                                    << 4);
  EXPECT_TRUE(same(swap_nibbles(swap_nibbles(bytes)), bytes));
}

// cuBLAS: element (row, column) of a tile lies at row % 32 * 16 + row / 32 * 4 + column.
TEST(Pack, BlockedScalesLieAsTheManualSays) {
  Tensor t(DType::kU8, {130, 6});
  for (size_t i = 0; i < t.as<uint8_t>().size(); ++i) t.as<uint8_t>()[i] = static_cast<uint8_t>(i % 251 + 1);
  const Tensor blocked = to_blocked(t);
  ASSERT_EQ(blocked.shape(), (Shape{256, 8}));
  const auto at = [&](int row, int column) { return t.as<uint8_t>()[static_cast<size_t>(row * 6 + column)]; };
  EXPECT_EQ(blocked.as<uint8_t>()[0], at(0, 0));
  EXPECT_EQ(blocked.as<uint8_t>()[3], at(0, 3));
  EXPECT_EQ(blocked.as<uint8_t>()[4], at(32, 0));
  EXPECT_EQ(blocked.as<uint8_t>()[16], at(1, 0));
  EXPECT_EQ(blocked.as<uint8_t>()[512], at(0, 4));          // the next four columns
  EXPECT_EQ(blocked.as<uint8_t>()[514], 0);                 // padding
  EXPECT_EQ(blocked.as<uint8_t>()[1024 + 16], at(129, 0));  // the next 128 rows
  EXPECT_TRUE(same(from_blocked(blocked, 130, 6), t));
}

}  // namespace
}  // namespace wanslim
