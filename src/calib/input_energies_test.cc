// SPDX-License-Identifier: Apache-2.0
#include "calib/input_energies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

LayerPlan layer_of(const std::string& name) {
  LayerPlan layer;
  layer.name = name;
  layer.shape = {8, 4};
  layer.scheme.weight = Encoding::kInt4;
  layer.step = 0;
  return layer;
}

std::vector<ProcessStep> step_with(const Path& file) {
  ProcessStep step{.type = "linear_quant"};
  step.weight.options.energies = file.string();
  return {step};
}

std::string error_with(const std::vector<ProcessStep>& steps, const LayerPlan& layer) {
  try {
    load_energies(steps, std::vector<LayerPlan>{layer});
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(InputEnergies, AreReadForTheLayersThatAsk) {
  TempDir dir;
  std::map<std::string, Tensor> tensors;
  tensors["a.energy"] = testing::f32({4}, 0, 2);
  testing::write_safetensors(dir / "e.safetensors", tensors);
  LayerPlan in_float = layer_of("b");
  in_float.scheme.weight = Encoding::kFloat;
  const InputEnergies found =
      load_energies(step_with(dir / "e.safetensors"), std::vector<LayerPlan>{layer_of("a"), in_float});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found.at("a"), ElementsAre(0, 2.f / 3, 4.f / 3, 2));  // mean 1
  EXPECT_FALSE(hash_of(found).empty());
  EXPECT_TRUE(load_energies(step_with(""), std::vector<LayerPlan>{layer_of("a")}).empty());
  EXPECT_EQ(hash_of({}), "");
}

TEST(InputEnergies, RefusesWhatCannotBeMeant) {
  TempDir dir;
  std::map<std::string, Tensor> tensors;
  tensors["short.energy"] = testing::f32({3});
  tensors["matrix.energy"] = testing::f32({2, 2});
  tensors["integers.energy"] = Tensor(DType::kI32, {4});
  tensors["zero.energy"] = testing::f32({4}, 0, 0);
  tensors["negative.energy"] = testing::f32({4}, -1);
  tensors["endless.energy"] = testing::f32({4});
  tensors["endless.energy"].as<float>()[2] = INFINITY;
  tensors["unknown.energy"] = testing::f32({4});
  tensors["unknown.energy"].as<float>()[3] = NAN;
  testing::write_safetensors(dir / "e.safetensors", tensors);
  const auto steps = step_with(dir / "e.safetensors");
  for (const char* name : {"short", "matrix", "integers"})
    EXPECT_THAT(error_with(steps, layer_of(name)), HasSubstr("expected F32 [4]")) << name;
  EXPECT_THAT(error_with(steps, layer_of("zero")), HasSubstr("all zero"));
  EXPECT_THAT(error_with(steps, layer_of("negative")), HasSubstr("channel 0 is -1"));
  EXPECT_THAT(error_with(steps, layer_of("endless")), HasSubstr("channel 2 is inf"));
  EXPECT_THAT(error_with(steps, layer_of("unknown")), HasSubstr("channel 3 is nan"));
  EXPECT_THAT(error_with(steps, layer_of("absent")), HasSubstr("no energies \"absent.energy\""));
  EXPECT_THAT(error_with(step_with(dir / "none.safetensors"), layer_of("a")), HasSubstr("none.safetensors"));
  testing::write_text(dir / "bad.safetensors", "12345678901234567890");
  EXPECT_THAT(error_with(step_with(dir / "bad.safetensors"), layer_of("a")), HasSubstr("bad.safetensors"));
  LayerPlan rotated = layer_of("zero");
  rotated.hadamard_group = 4;
  EXPECT_THAT(error_with(steps, rotated), HasSubstr("are rotated"));
}

}  // namespace
}  // namespace wanslim
