// SPDX-License-Identifier: Apache-2.0
#include "eval/weight_error.h"

#include <gtest/gtest.h>

#include <map>

#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kRows = 23, kColumns = 5;

// One table under the name "table".
struct Table : WeightSource {
  Tensor table;
  explicit Table(Tensor t) : table(std::move(t)) {}
  bool has(std::string_view name) const override { return name == "table"; }
  Shape shape(std::string_view) const override { return table.shape(); }
  DType dtype(std::string_view) const override { return table.dtype(); }
  Tensor load(std::string_view) const override { return table.clone(); }
};

Tensor floats(int64_t columns = kColumns) {
  Tensor out(DType::kF32, {kRows, columns});
  for (size_t i = 0; i < out.as<float>().size(); ++i) out.as<float>()[i] = 1 + static_cast<float>(i) / 777;
  return out;
}

Tensor as_bf16(const Tensor& values) {
  Tensor out(DType::kBF16, values.shape());
  for (size_t i = 0; i < values.as<float>().size(); ++i)
    out.as<uint16_t>()[i] = float_to_bf16(values.as<float>()[i]);
  return out;
}

bool differs(Tensor result, Tensor model, int64_t slice) {
  const Table stored(std::move(result)), wanted(std::move(model));
  return !compare_weights(stored, wanted, {}, {"table"}, no_progress(), slice).float_differs.empty();
}

TEST(WeightError, float_tensors_are_compared_whole_and_in_slices_alike) {
  for (const int64_t slice : {int64_t{1}, 3 * kColumns, kRows * kColumns, kCompareSlice}) {
    EXPECT_FALSE(differs(floats(), floats(), slice)) << slice;
    EXPECT_FALSE(differs(as_bf16(floats()), floats(), slice)) << slice;
    Tensor rounded = floats();
    for (float& x : rounded.as<float>()) x = round_bf16(x);
    EXPECT_FALSE(differs(rounded.clone(), floats(), slice)) << slice;
    for (const size_t at : {size_t{0}, size_t{57}, size_t{kRows * kColumns - 1}}) {
      Tensor wrong = floats();
      wrong.as<float>()[at] += 0.5f;
      EXPECT_TRUE(differs(std::move(wrong), floats(), slice)) << slice << " " << at;
    }
    // Neither the values nor all of them rounded.
    Tensor mixed = floats();
    mixed.as<float>()[1] = round_bf16(mixed.as<float>()[1]);
    ASSERT_NE(mixed.as<float>()[1], floats().as<float>()[1]);
    EXPECT_TRUE(differs(std::move(mixed), floats(), slice)) << slice;
    EXPECT_TRUE(differs(floats(kColumns + 1), floats(), slice)) << slice;
  }
}

}  // namespace
}  // namespace wanslim
