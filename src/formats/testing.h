// SPDX-License-Identifier: Apache-2.0
// For tests of formats: layers of a made-up model, and writing them as quant does.
#pragma once
#include <cstring>
#include <functional>
#include <string>

#include "formats/loader_checks.h"
#include "formats/writer.h"
#include "io/testing.h"

namespace wanslim::testing {

inline LayerPlan linear_layer(const std::string& name, Shape shape, QuantScheme scheme) {
  LayerPlan layer;
  layer.name = name;
  layer.linear = layer.has_bias = true;
  layer.block = 0;
  layer.shape = std::move(shape);
  layer.scheme = scheme;
  return layer;
}

inline LayerPlan plain_tensor(const std::string& name, Shape shape) {
  LayerPlan layer;
  layer.name = name;
  layer.shape = std::move(shape);
  return layer;
}

inline Tensor filled(DType dtype, Shape shape, int value) {
  Tensor t(dtype, std::move(shape));
  std::memset(t.raw().data(), value, t.bytes());
  return t;
}

// Writes every layer, last first: any order gives the same file. A layer's value gets the tensors to fill.
using ValueOf = std::function<LayerValue(const LayerPlan& layer, std::span<const OutTensor> tensors)>;
inline void write_job(std::string_view format, const Path& dir, const FormatJob& job, const ValueOf& value) {
  FormatWriter writer(find_format(format), job);
  OutputFolder folder = OutputFolder::open(dir, {{"job", 1}}, writer.final_names({}), false);
  writer.open(folder, no_progress());
  for (size_t i = job.layers.size(); i-- > 0;) {
    if (writer.layer_bytes(i) > 0)
      writer.write(i, value(job.layers[i], writer.tensors(i)), {job.layers[i].tensors().size(), "source"});
  }
  writer.finish({}, {});
}

inline std::string problems_of(std::string_view format, const Path& dir) {
  VerifyReport report = find_format(format).verify(dir);
  check_manifest(dir, report, no_progress());
  std::string out;
  for (const std::string& line : report.problems) out += line + "\n";
  return out;
}

}  // namespace wanslim::testing
