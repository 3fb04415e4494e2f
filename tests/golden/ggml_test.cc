// SPDX-License-Identifier: Apache-2.0
// GGUF blocks against the `gguf` Python package 0.19.0 (decoding of random blocks with finite scales) and
// against ggml's own quantizer (quantize_chunk without importance matrix) on the first 32 rows of
// blocks.0.ffn.2.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tensor/dequantize.h"
#include "tests/golden/golden.h"

namespace wanslim::golden {
namespace {

struct Format {
  const char* name;
  Encoding encoding;
};
constexpr Format kFormats[] = {
    {"Q8_0", Encoding::kQ8_0}, {"Q4_0", Encoding::kQ4_0}, {"Q6_K", Encoding::kQ6_K},
    {"Q5_K", Encoding::kQ5_K}, {"Q4_K", Encoding::kQ4_K}, {"Q3_K", Encoding::kQ3_K},
    {"Q2_K", Encoding::kQ2_K},
};

Checkpoint recorded() {
  return Checkpoint::open(Path(WANSLIM_TESTDATA) / "gguf" / "blocks.safetensors");
}

QuantizedLinear blocks_of(Encoding encoding, Tensor blocks) {
  QuantizedLinear linear;
  linear.scheme.weight = encoding;
  linear.weight = std::move(blocks);
  return linear;
}

TEST(GoldenGgml, BlocksDecodeToTheSameFloats) {
  const Checkpoint file = recorded();
  for (const Format& format : kFormats) {
    const std::string name = format.name;
    const QuantizedLinear linear = blocks_of(format.encoding, load(file, name + "/blocks"));
    expect_equal(dequantize(linear), load(file, name + "/values"), name);
  }
}

double error_of(std::span<const float> weight, const QuantizedLinear& linear) {
  const Tensor values = dequantize(linear);
  double sum = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    sum += std::pow(static_cast<double>(weight[i]) - static_cast<double>(values.as<float>()[i]), 2);
  }
  return sum;
}

TEST(GoldenGgml, NoFormatIsWorseThanGgmlsOwnQuantizer) {
  const Checkpoint file = recorded(), model = Checkpoint::open(folder("model"));
  const Tensor whole = load(model, "blocks.0.ffn.2.weight");
  for (const Format& format : kFormats) {
    LinearWeight rows{"blocks.0.ffn.2", Tensor(DType::kF32, {32, 512}), {}};
    std::memcpy(rows.weight.raw().data(), whole.raw().data(), rows.weight.bytes());
    const QuantizedLinear theirs = blocks_of(format.encoding, load(file, std::string(format.name) + "/ffn2"));
    const double their_error = error_of(rows.weight.as<float>(), theirs);
    const Tensor weight = rows.weight.clone();
    const QuantizedLinear ours =
        quantize_linear(std::move(rows), side(Encoding::kFloat, Granularity::kTensor, "none"),
                        side(format.encoding, Granularity::kBlock, "ggml"), Numerics::kPrecise);
    EXPECT_EQ(ours.weight.shape(), theirs.weight.shape());
    EXPECT_LE(error_of(weight.as<float>(), ours), their_error) << format.name;
    if (format.encoding == Encoding::kQ8_0) expect_equal(ours.weight, theirs.weight, "Q8_0");
  }
}

}  // namespace
}  // namespace wanslim::golden
