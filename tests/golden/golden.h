// SPDX-License-Identifier: Apache-2.0
// What the recorded outputs of the reference tool have in common: its small model, recipe sides, comparisons.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "io/checkpoint.h"
#include "quant/methods.h"

namespace wanslim::golden {

inline Path folder(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "msmodelslim" / name;
}

// The weight file of a recorded run, by what its name ends with.
inline Checkpoint output(const std::string& run, const std::string& file) {
  return Checkpoint::open(folder(run) / "output" / ("quant_model_" + file + ".safetensors"));
}

inline Tensor load(const Checkpoint& file, const std::string& name) {
  const StoredTensor* stored = file.find(name);
  return stored ? file.load(*stored) : Tensor();
}

// The Linear `name` of the model that the reference was given.
inline LinearWeight linear(const Checkpoint& model, const std::string& name) {
  return {name, load(model, name + ".weight"), load(model, name + ".bias")};
}

inline SideConfig side(Encoding encoding, Granularity granularity, std::string method) {
  SideConfig config;
  config.encoding = encoding;
  config.granularity = granularity;
  config.method = std::move(method);
  return config;
}

inline std::string bytes_of(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.raw().data()), tensor.bytes()};
}

inline void expect_equal(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_FALSE(expected.empty()) << what;
  EXPECT_EQ(actual.dtype(), expected.dtype()) << what;
  EXPECT_EQ(actual.count(), expected.count()) << what;
  EXPECT_TRUE(bytes_of(actual) == bytes_of(expected)) << what;
}

}  // namespace wanslim::golden
