// SPDX-License-Identifier: Apache-2.0
#include "cli/convert_input.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "models/model_layers.h"
#include "models/quant_model.h"
#include "models/wan_config.h"
#include "models/wan_geometry.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

// Sizes from the tensors that are float in every format, and config.json.
WanGeometry geometry_of(const ConvertInput& in, const Path& path) {
  if (in.model) return in.model->geometry();
  std::vector<std::string> stored;
  for (const StoredTensor& t : in.file.tensors()) stored.push_back(t.name);
  const Naming naming = detect_naming(stored);
  ShapeMap shapes;
  for (const std::string& name : stored) {
    const auto official = official_name(naming, name);
    if (!official || !in.source->has(*official)) continue;
    const Shape shape = in.source->shape(*official);
    const bool block_matrix = shape.size() == 2 && parse_block_path(*official);
    if (!block_matrix) shapes.emplace(*official, shape);  // else it may be codes, of another shape
  }
  if (!shapes.count("patch_embedding.weight")) {
    throw Error({.what = "the float tensors are not in the file",
                 .where = path.string(),
                 .hint = "give the float model with --against"});
  }
  WanGeometry geometry = geometry_from_shapes(shapes, path.string());
  if (const auto config = read_config(in.file)) apply_config(config->text, config->where, geometry);
  check_geometry(geometry, path.string());
  return geometry;
}

void expect_shape(const std::string& name, const Shape& got, const Shape& expected) {
  if (got == expected) return;
  throw Error(
      {.what = fmt::format("the tensor is {}, the model wants {}", to_string(got), to_string(expected)),
       .where = name});
}

// What few formats execute beside the codes; empty if there is nothing.
std::string_view extra_of(const QuantizedLinear& q) {
  if (!q.smooth.empty()) return "a smoothing vector";
  if (!q.lora_up.empty()) return "a low-rank pair";
  return q.act_scale.empty() ? "" : "scales of its inputs";
}

LayerPlan plan_of(const TensorSpec& spec, ConvertInput& in) {
  LayerPlan layer;
  layer.linear = spec.is_linear_weight();
  layer.name = layer.linear ? spec.layer : spec.name;
  layer.shape = spec.shape;
  if (spec.in_block()) layer.block = static_cast<int>(spec.block + (spec.vace ? in.geometry.layers : 0));
  if (layer.linear) {
    if (const auto q = in.source->load_quantized(layer.name)) {
      expect_shape(layer.name, {out_features(*q), in_features(*q)}, spec.shape);
      layer.scheme = q->scheme;
      layer.hadamard_group = q->hadamard_group;
      if (const auto what = extra_of(*q); !what.empty() && !in.extra)
        in.extra = {.layer = layer.name, .what = what};
      layer.has_bias = !q->bias.empty();
      layer.dtype = q->weight.dtype();
      if (layer.has_bias) layer.bias_dtype = q->bias.dtype();
      return layer;
    }
  }
  const WeightSource& holder = in.holder(spec.name);
  expect_shape(spec.name, holder.shape(spec.name), spec.shape);
  layer.dtype = holder.dtype(spec.name);
  return layer;
}

}  // namespace

const WeightSource& ConvertInput::holder(const std::string& tensor) const {
  if (source->has(tensor)) return *source;
  if (model && model->has(tensor)) return *model;
  throw Error({.what = "the tensor is missing",
               .where = fmt::format("{}: \"{}\"", file.folder().string(), tensor),
               .hint = model ? "" : "give the float model with --against"});
}

ConvertInput open_convert_input(const Path& path, const std::string& against, Progress& progress) {
  ConvertInput in;
  in.format = &recognize_format(path);
  in.file = Checkpoint::open(path);
  if (const ModelPart part = detect_part(in.file); part != ModelPart::kTransformer)
    throw Error({.what = fmt::format("convert takes a transformer, and this is a {}", name_of(part)),
                 .where = path.string(),
                 .hint = "quantize the float file for the other format"});
  in.source = in.format->read(path);
  if (!against.empty()) in.model = open_wan(against);
  if (is_folder(path)) in.manifest = read_manifest(path);
  in.geometry = geometry_of(in, path);
  const std::vector<TensorSpec> specs = tensor_specs(in.geometry);
  progress.start_steps("reading schemes", specs.size(), 1, 0);
  for (const TensorSpec& spec : specs) {
    throw_if_interrupted();
    progress.advance(1, spec.name);
    if (spec.role != TensorRole::kLinearBias) {
      in.layers.push_back(plan_of(spec, in));
      continue;
    }
    // The weight of the same Linear stands right before it.
    LayerPlan& layer = in.layers.back();
    if (layer.quantized()) continue;
    const WeightSource& holder = in.holder(spec.name);
    expect_shape(spec.name, holder.shape(spec.name), spec.shape);
    layer.has_bias = true;
    layer.bias_dtype = holder.dtype(spec.name);
  }
  progress.finish();
  return in;
}

}  // namespace wanslim
