// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "formats/comfyui.h"
#include "formats/loader_checks.h"
#include "formats/model_checks.h"
#include "formats/pack.h"

namespace wanslim {
namespace {

constexpr std::string_view kComfyPrefix = "model.diffusion_model.";
constexpr uint64_t kMaxMark = 64 << 10;  // sd.cpp's limit; ComfyUI has none

Path file_of(const Path& path) {
  if (!is_folder(path)) return path;
  std::vector<Path> found;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors" && entry.is_regular_file()) found.push_back(entry.path());
  }
  if (found.size() == 1) return found[0];
  throw Error({.what = fmt::format("ComfyUI loads one .safetensors file, found {}", found.size()),
               .where = path.string(),
               .hint = "name the file itself"});
}

ComfyMark parse_mark(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw Error({.what = "the mark is no JSON object", .where = where});
  ComfyMark mark{.format = json_string(json, "format", where)};
  mark.full_precision = json.value("full_precision_matrix_mult", Json(false)) == true;
  const Json params = json.value("params", Json::object());
  const auto setting = [&](const char* key, const Json& otherwise) {
    if (json.contains(key)) return json[key];
    return params.is_object() ? params.value(key, otherwise) : otherwise;
  };
  if (setting("convrot", false) != true) return mark;
  const Json group = setting("convrot_groupsize", 256);
  if (!group.is_number_integer() || group.get<int64_t>() < 4 || group.get<int64_t>() > (1 << 20))
    throw Error({.what = "\"convrot_groupsize\" is " + group.dump(), .where = where});
  mark.convrot_group = group.get<int>();
  return mark;
}

// comfy_quant tensors, the metadata that stands for them, or the tensor scaled_fp8.
void find_marks(ComfyFile& f) {
  for (const StoredTensor& t : f.file.tensors()) {
    if (!t.name.ends_with(".comfy_quant") || !t.name.starts_with(f.prefix)) continue;
    if (t.dtype != DType::kU8 || t.bytes > kMaxMark)
      throw Error({.what = "comfy_quant is not a short U8 text", .where = f.file.describe(t)});
    const Tensor text = f.file.load(t);
    f.marks[t.name.substr(f.prefix.size(), t.name.size() - f.prefix.size() - 12)] =
        parse_mark({reinterpret_cast<const char*>(text.raw().data()), text.bytes()}, f.file.describe(t));
  }
  const auto metadata = f.file.metadata().find("_quantization_metadata");
  if (metadata != f.file.metadata().end()) {
    const std::string where = "_quantization_metadata";
    const Json json = parse_json(metadata->second, where);
    const Json& layers = json_member(json, "layers", where);
    if (!layers.is_object()) throw Error({.what = "\"layers\" is no object", .where = where});
    for (const auto& [layer, mark] : layers.items()) f.marks[layer] = parse_mark(mark.dump(), where);
    return;
  }
  const StoredTensor* scaled = f.file.find(f.prefix + "scaled_fp8");
  if (!scaled) return;
  f.old_markers = true;
  for (const StoredTensor& t : f.file.tensors()) {
    if (!t.name.ends_with(".scale_weight") || !t.name.starts_with(f.prefix)) continue;
    f.marks[t.name.substr(f.prefix.size(), t.name.size() - f.prefix.size() - 13)] = {
        .format = "float8_e4m3fn", .full_precision = element_count(scaled->shape) == 2};
  }
}

bool is_scalar(const Shape& shape) {
  return element_count(shape) == 1 && shape.size() < 2;
}

class LayerCheck {
 public:
  LayerCheck(const ComfyFile& f, const std::string& layer, VerifyReport& report)
      : f_(f), layer_(layer), report_(report) {}

  void run(const ComfyMark& mark) {
    const StoredTensor* weight = find("weight");
    if (!weight || weight->shape.size() != 2) return complain("has no weight matrix");
    const int64_t out = weight->shape[0], in = weight->shape[1];
    if (mark.format == "int8_tensorwise") {
      want("weight", DType::kI8, {out, in});
      check_scale("weight_scale", true, out);
      if (mark.convrot_group > 0 && in % mark.convrot_group != 0)
        complain(
            fmt::format("rotates in groups of {}, which do not divide {} inputs", mark.convrot_group, in));
    } else if (mark.format == "float8_e4m3fn") {
      want("weight", DType::kF8E4M3, {out, in});
      check_scale(f_.old_markers ? "scale_weight" : "weight_scale", false, out);
    } else if (mark.format == "mxfp8") {
      want("weight", DType::kF8E4M3, {out, in});
      want("weight_scale", DType::kU8, blocked_shape(out, in / 32));
      if (out % 32 != 0 || in % 32 != 0) complain("has sides that are no multiples of 32");
    } else if (mark.format == "nvfp4") {
      want("weight", DType::kU8, {out, in});
      want("weight_scale", DType::kF8E4M3, blocked_shape(out, in / 8));
      check_scale("weight_scale_2", false, out);
    } else {
      complain(fmt::format("has the format \"{}\", which is not read here", printable(mark.format)));
    }
    const StoredTensor* bias = find("bias");
    if (bias && (!info(bias->dtype).is_float || bias->shape != Shape{weight->shape[0]}))
      complain(fmt::format("has a bias {}", to_string(bias->shape)));
  }

 private:
  const StoredTensor* find(const std::string& what) const {
    return f_.file.find(f_.prefix + layer_ + "." + what);
  }
  void complain(const std::string& what) { report_.problems.push_back(layer_ + " " + what); }
  void want(const std::string& what, DType dtype, const Shape& shape) {
    expect_tensor(f_.file, f_.prefix + layer_ + "." + what, dtype, shape, report_);
  }
  void check_scale(const std::string& what, bool per_channel, int64_t out) {
    const StoredTensor* scale = find(what);
    if (!scale) return complain("has no " + what);
    const bool rows = per_channel && (scale->shape == Shape{out} || scale->shape == Shape{out, 1});
    if (scale->dtype != DType::kF32 || (!is_scalar(scale->shape) && !rows))
      return complain(fmt::format("has a {} {} {}, which ComfyUI would apply wrongly", what,
                                  name_of(scale->dtype), to_string(scale->shape)));
    check_scales(f_.file, *scale, report_);
  }

  const ComfyFile& f_;
  const std::string& layer_;
  VerifyReport& report_;
};

// F32 [1] or [out, 1] whatever the file says.
Tensor reshaped(Tensor tensor, Shape shape) {
  Tensor out(tensor.dtype(), std::move(shape));
  if (out.bytes() != tensor.bytes()) throw Error({.what = "a scale has " + to_string(tensor.shape())});
  std::copy(tensor.raw().begin(), tensor.raw().end(), out.raw().begin());
  return out;
}

Tensor unblocked(const FileSource& source, const std::string& name, DType dtype, int64_t rows,
                 int64_t columns) {
  const Tensor blocked = source.load_as(name, dtype, 2);
  if (blocked.shape() != blocked_shape(rows, columns))
    throw Error({.what = fmt::format("the block scales are {}, expected {}", to_string(blocked.shape()),
                                     to_string(blocked_shape(rows, columns))),
                 .where = name});
  return from_blocked(blocked, rows, columns);
}

std::optional<QuantizedLinear> load_linear(const std::map<std::string, ComfyMark>& marks, bool old_markers,
                                           const FileSource& source, const std::string& layer) {
  const auto found = marks.find(layer);
  if (found == marks.end()) return std::nullopt;
  const ComfyMark& mark = found->second;
  QuantizedLinear q;
  q.weight = source.load(layer + ".weight");
  if (q.weight.shape().size() != 2) throw Error({.what = "the weight is no matrix", .where = layer});
  const int64_t out = q.weight.dim(0), in = q.weight.dim(1);
  const std::string scale = layer + (old_markers ? ".scale_weight" : ".weight_scale");
  QuantScheme& s = q.scheme;
  if (mark.format == "int8_tensorwise" || mark.format == "float8_e4m3fn") {
    const bool int8 = mark.format == "int8_tensorwise";
    Tensor values = source.load_as(scale, DType::kF32);
    const bool whole = is_scalar(values.shape());
    q.scale = reshaped(std::move(values), whole ? Shape{1} : Shape{out, 1});
    s.weight = int8 ? Encoding::kInt8 : Encoding::kFp8E4M3;
    s.weight_granularity = whole ? Granularity::kTensor : Granularity::kChannel;
    s.activation = int8 ? Encoding::kInt8 : Encoding::kFp8E4M3;
    s.activation_granularity = int8 ? Granularity::kToken : Granularity::kTensor;
    if (!int8 && !mark.full_precision) {
      q.act_scale = Tensor(DType::kF32, {1});
      q.act_scale.as<float>()[0] = 1;  // what ComfyUI takes where input_scale is absent
      const std::string input = layer + (old_markers ? ".scale_input" : ".input_scale");
      if (source.has(input)) q.act_scale = reshaped(source.load_as(input, DType::kF32), {1});
    }
    q.hadamard_group = mark.convrot_group;
    if (q.hadamard_group > 0 && in % q.hadamard_group != 0)
      throw Error({.what = "the rotation does not divide the inputs", .where = layer});
  } else if (mark.format == "mxfp8") {
    q.scale = unblocked(source, scale, DType::kU8, out, in / 32);
    s = {.weight = Encoding::kMxFp8,
         .weight_granularity = Granularity::kBlock,
         .activation = Encoding::kMxFp8,
         .activation_granularity = Granularity::kBlock,
         .group = 32};
  } else if (mark.format == "nvfp4") {
    q.weight = swap_nibbles(source.load_as(layer + ".weight", DType::kU8));
    q.scale = unblocked(source, scale, DType::kF8E4M3, out, in / 8);
    q.dual_scale = reshaped(source.load_as(layer + ".weight_scale_2", DType::kF32), {1});
    s = {.weight = Encoding::kNvFp4,
         .weight_granularity = Granularity::kBlock,
         .activation = Encoding::kNvFp4,
         .activation_granularity = Granularity::kBlock,
         .group = 16};
  } else {
    throw Error(
        {.what = fmt::format("the format \"{}\" is not read here", printable(mark.format)), .where = layer});
  }
  if (mark.full_precision) {
    s.activation = Encoding::kFloat;
    s.activation_granularity = Granularity::kTensor;
  }
  return q;
}

}  // namespace

ComfyFile open_comfyui(const Path& path) {
  ComfyFile f{.file = Checkpoint::open(file_of(path)), .prefix = {}, .marks = {}};
  for (const StoredTensor& t : f.file.tensors()) {
    if (t.name.starts_with(kComfyPrefix)) f.prefix = kComfyPrefix;
  }
  find_marks(f);
  return f;
}

bool has_comfy_marks(const Path& path) {
  try {
    const Checkpoint file = Checkpoint::open(file_of(path));
    for (const StoredTensor& t : file.tensors()) {
      if (t.name.ends_with(".comfy_quant") || t.name.ends_with("scaled_fp8")) return true;
    }
    return file.metadata().count("_quantization_metadata") > 0;
  } catch (const Error&) {
    return false;
  }
}

bool recognizes_comfyui(const Path& path) {
  return has_comfy_marks(path);
}

void check_comfyui(const ComfyFile& f, VerifyReport& report) {
  std::set<std::string> names;
  for (const StoredTensor& t : f.file.tensors()) {
    if (!t.name.starts_with(f.prefix)) {
      report.problems.push_back(t.name + " has not the prefix of the others");
      continue;
    }
    const std::string name = t.name.substr(f.prefix.size());
    names.insert(name);
    const bool plain = t.dtype == DType::kF32 || t.dtype == DType::kBF16 || t.dtype == DType::kF16;
    if (!plain && name.ends_with(".weight") && !f.marks.count(name.substr(0, name.size() - 7)))
      report.problems.push_back(fmt::format(
          "{} is {} and has no mark: ComfyUI would take its codes for weights", name, name_of(t.dtype)));
  }
  for (const auto& [layer, mark] : f.marks) LayerCheck(f, layer, report).run(mark);
  if (f.marks.empty()) report.problems.push_back("no layer is quantized");
  check_whole_model(names, report);
  report.checked.push_back(
      fmt::format("{} quantized layers: marks, required tensors, dtypes, shapes, scales", f.marks.size()));
  report.checked.push_back(fmt::format("{} tensors of the transformer in {}", names.size(),
                                       f.file.files()[0].file.path().filename().string()));
}

VerifyReport verify_comfyui(const Path& path) {
  VerifyReport report;
  check_comfyui(open_comfyui(path), report);
  return report;
}

std::unique_ptr<WeightSource> read_comfyui(const Path& path) {
  ComfyFile f = open_comfyui(path);
  return std::make_unique<FileSource>(
      std::move(f.file),
      [marks = std::move(f.marks), old = f.old_markers](const FileSource& source, const std::string& layer) {
        return load_linear(marks, old, source, layer);
      },
      [prefix = f.prefix](std::string_view name) { return prefix + std::string(name); });
}

}  // namespace wanslim
