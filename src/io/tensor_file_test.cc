// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/testing.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

TEST(TensorFile, WhatIsWrittenIsRead) {
  testing::TempDir dir;
  TensorMap tensors;
  tensors["out.0"] = testing::f32({2, 3}, 1.5f);
  tensors["ids"] = Tensor(DType::kI64, {2});
  tensors["ids"].as<int64_t>()[0] = -7;
  tensors["ids"].as<int64_t>()[1] = 9;
  write_tensors(dir / "a.safetensors", tensors);
  const TensorMap read = read_tensors(dir / "a.safetensors");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read.at("ids").as<int64_t>()[0], -7);
  EXPECT_EQ(read.at("out.0").shape(), (Shape{2, 3}));
  EXPECT_EQ(read.at("out.0").as<float>()[5], tensors["out.0"].as<float>()[5]);
}

TEST(TensorFile, FloatsOfEveryFloatType) {
  const Tensor wide = testing::f32({3}, -1.5f, 1.25f);
  Tensor f64(DType::kF64, {3}), bf16(DType::kBF16, {3}), f16(DType::kF16, {3});
  for (size_t i = 0; i < 3; ++i) {
    f64.as<double>()[i] = double{wide.as<float>()[i]};
    bf16.as<uint16_t>()[i] = float_to_bf16(wide.as<float>()[i]);
    f16.as<uint16_t>()[i] = float_to_f16(wide.as<float>()[i]);
  }
  for (const Tensor* tensor : std::initializer_list<const Tensor*>{&wide, &f64, &bf16, &f16}) {
    const Tensor got = floats_of(*tensor, "x");
    EXPECT_EQ(got.shape(), (Shape{3}));
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(got.as<float>()[i], wide.as<float>()[i]);
  }
  EXPECT_THROW(floats_of(Tensor(DType::kI32, {1}), "x"), Error);
}

TEST(TensorFile, AFailedWriteLeavesNothing) {
  testing::TempDir dir;
  std::filesystem::create_directories(dir / "a.safetensors");  // a folder is in the way of the rename
  TensorMap tensors;
  tensors["x"] = testing::f32({1}, 0);
  EXPECT_THROW(write_tensors(dir / "a.safetensors", tensors), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

}  // namespace
}  // namespace wanslim
