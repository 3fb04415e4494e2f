// SPDX-License-Identifier: Apache-2.0
// SSZ is not bit-reproducible: the reference's sums have an order of their own. Held here instead: nearly all
// of its codes and scales, and no row with a larger error.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "quant/linear_weight.h"
#include "tests/golden/golden.h"

namespace wanslim::golden {
namespace {

double row_error(std::span<const float> weight, std::span<const int8_t> codes, float scale) {
  double sum = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    sum += std::pow(
        static_cast<double>(weight[i]) - static_cast<double>(codes[i]) * static_cast<double>(scale), 2);
  }
  return sum;
}

TEST(GoldenSsz, NoRowIsWorseAndNearlyAllAreEqual) {
  const Checkpoint model = Checkpoint::open(folder("model"));
  const SideConfig weight = side(Encoding::kInt8, Granularity::kChannel, "ssz");
  for (const char* run : {"w8a8_dynamic_ssz", "w8a16_ssz"}) {
    const Checkpoint golden =
        output(run, run == std::string("w8a16_ssz") ? "weights" : "weight_w8a8_dynamic");
    size_t codes = 0, equal_codes = 0, scales = 0, equal_scales = 0;
    for (const StoredTensor& stored : golden.tensors()) {
      if (!stored.name.ends_with(".weight_scale")) continue;
      const std::string name = stored.name.substr(0, stored.name.size() - 13);
      const LinearWeight original = linear(model, name);
      const Tensor given = weight_as_float(original, Numerics::kCompat);
      const QuantizedLinear q =
          quantize_linear(linear(model, name), side(Encoding::kInt8, Granularity::kToken, "minmax"), weight,
                          Numerics::kCompat);
      const Tensor their_codes = load(golden, name + ".weight"), their_scales = golden.load(stored);
      const size_t in = static_cast<size_t>(original.in());
      for (size_t r = 0; r < static_cast<size_t>(original.out()); ++r) {
        const auto row = given.as<float>().subspan(r * in, in);
        const auto ours = q.weight.as<int8_t>().subspan(r * in, in);
        const auto theirs = their_codes.as<int8_t>().subspan(r * in, in);
        const float scale = q.scale.as<float>()[r], their_scale = their_scales.as<float>()[r];
        EXPECT_LE(row_error(row, ours, scale), row_error(row, theirs, their_scale)) << name << " row " << r;
        EXPECT_NEAR(scale, their_scale, their_scale * 0.0157f) << name << " row " << r;  // two bf16 steps
        scales += 1, equal_scales += scale == their_scale;
        for (size_t i = 0; i < in; ++i) codes += 1, equal_codes += ours[i] == theirs[i];
      }
    }
    const double code_share = static_cast<double>(equal_codes) / static_cast<double>(codes);
    const double scale_share = static_cast<double>(equal_scales) / static_cast<double>(scales);
    EXPECT_GT(code_share, 0.9994) << run;
    EXPECT_GT(scale_share, 0.99) << run;
    RecordProperty(std::string(run) + "_codes", std::to_string(code_share));
  }
}

}  // namespace
}  // namespace wanslim::golden
