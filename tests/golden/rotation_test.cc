// SPDX-License-Identifier: Apache-2.0
// The random Hadamard matrices that msModelSlim's seed 1234 gives.
#include <gtest/gtest.h>

#include <bit>

#include "quant/head_rotation.h"
#include "tensor/half.h"
#include "tests/golden/golden.h"

namespace wanslim::golden {
namespace {

TEST(GoldenRotation, EveryBitOfTheMatrices) {
  const Checkpoint file = Checkpoint::open(folder("rotation") / "rotation.safetensors");
  struct Row {
    const char* name;
    size_t size;
    Working working;
  };
  for (const Row& row :
       {Row{"hadamard_64_f32", 64, Working::kF32}, Row{"hadamard_256_f32", 256, Working::kF32},
        Row{"hadamard_128_bf16", 128, Working::kBf16}}) {
    const Tensor stored = load(file, row.name);
    ASSERT_EQ(stored.count(), static_cast<int64_t>(row.size * row.size)) << row.name;
    const std::vector<float> matrix = reference_rotation(row.size, row.working);
    for (size_t i = 0; i < matrix.size(); ++i) {
      const float expected =
          stored.dtype() == DType::kBF16 ? bf16_to_float(stored.as<uint16_t>()[i]) : stored.as<float>()[i];
      ASSERT_EQ(std::bit_cast<uint32_t>(matrix[i]), std::bit_cast<uint32_t>(expected))
          << row.name << " " << i;
    }
  }
}

}  // namespace
}  // namespace wanslim::golden
