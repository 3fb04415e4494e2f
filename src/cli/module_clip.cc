// SPDX-License-Identifier: Apache-2.0
// `module clip`: one picture through preprocessing and encoder.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/module.h"
#include "io/frames.h"
#include "models/clip_vision.h"

namespace wanslim {
namespace {

// [3, H, W] bytes as a picture [H, W, 3].
Frames picture_of(const Tensor& planes, const std::string& file) {
  if (planes.dtype() != DType::kU8 || planes.shape().size() != 3 || planes.dim(0) != 3) {
    throw Error{{.what = fmt::format("\"in.image_u8\" is {} {}, expected U8 [3, height, width]",
                                     name_of(planes.dtype()), to_string(planes.shape())),
                 .where = file}};
  }
  check_limits({}, 1, planes.dim(1), planes.dim(2), file);
  Frames picture = make_frames(1, planes.dim(1), planes.dim(2));
  const size_t area = static_cast<size_t>(planes.dim(1) * planes.dim(2));
  const std::span<const uint8_t> values = planes.as<uint8_t>();
  for (size_t i = 0; i < picture.rgb.size(); ++i) picture.rgb[i] = values[i % 3 * area + i / 3];
  return picture;
}

ClipNumerics numerics_of(const std::string& compute) {
  if (compute == "f32") return ClipNumerics::kF32;
  return compute == "bf16" ? ClipNumerics::kBF16 : ClipNumerics::kF16;
}

}  // namespace

ModuleResult run_clip_module(const ModuleArgs& args, Progress&) {
  const TensorMap tensors = read_tensors(args.in);
  const Frames picture = picture_of(need_input(tensors, "in.image_u8", args.in), args.in);
  const NamedCheckpoint weights = open_clip(args.model);
  const ClipVision clip(weights, {.numerics = numerics_of(args.compute), .keep_weights = args.repeat > 1});
  ModuleResult result;
  Tensor features;
  time_forwards(args, result, [&] { features = clip.forward(clip.preprocess(picture)); });
  TensorMap named;
  Tensor& out = named["out"];
  out = Tensor(DType::kF32, {1, features.dim(0), features.dim(1)});
  const Tensor values = floats_of(features, "out");
  std::copy_n(values.as<float>().data(), values.count(), out.as<float>().data());
  write_tensors(args.out, named);
  result.facts = {{"compute", args.compute.empty() ? "f16" : args.compute}};
  return result;
}

}  // namespace wanslim
