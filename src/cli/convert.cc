// SPDX-License-Identifier: Apache-2.0
// convert: the same codes for another runtime, or back to float weights.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/convert_input.h"
#include "cli/quant_output.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "formats/float_checkpoint.h"
#include "formats/writer.h"
#include "quant/float_tensor.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxRecipe = uint64_t{16} << 20;
constexpr std::string_view kRecipeEnding = "_best_practice.yaml";

struct ConvertArgs {
  std::string in, out, format, to, dtype, against;
  std::vector<std::string> format_options;
  int64_t part_file_size = 0, threads = 0;
  bool slim = false, overwrite = false, json = false;
};

struct Conversion {
  ConvertInput input;
  const Format* format = nullptr;
  bool to_float = false;
  FormatJob job = {};
  std::vector<Sidecar> extra = {};
};

void check_arguments(const ConvertArgs& args) {
  if (args.format.empty() == args.to.empty())
    throw usage_error("one of --format and --to float is required", "convert",
                      "the formats are " + format_names());
  if (!args.dtype.empty() && args.to.empty())
    throw usage_error("--dtype is for --to float", "--dtype", "codes and scales stay as they are");
  if (args.part_file_size < 0 || args.part_file_size > (1 << 20))
    throw usage_error(fmt::format("{} GiB", args.part_file_size), "--part_file_size", "0 for one file");
  if (args.threads < 0 || args.threads > 4096)
    throw usage_error(fmt::format("{} threads", args.threads), "--threads", "1 to 4096, or 0 for all cores");
  std::error_code ignored;
  const Path in = is_folder(args.in) ? Path(args.in) : Path(args.in).parent_path() / ".";
  if (std::filesystem::equivalent(in, args.out, ignored))
    throw usage_error("IN and OUT are the same folder", "OUT", "give another folder");
}

// The recipe goes along; config.json where the format wants small files of the model's folder.
std::vector<Sidecar> extra_files(const ConvertArgs& args, const Conversion& c) {
  std::vector<Sidecar> out;
  if (c.to_float) return out;
  for (const std::string_view ending : c.format->copies) {
    if (ending == ".json") out.push_back({.name = "config.json", .text = config_json_text(c.job.geometry)});
  }
  if (!is_folder(args.in)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(args.in)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kRecipeEnding) && entry.is_regular_file())
      out.push_back({.name = name, .text = read_text(entry.path(), kMaxRecipe)});
  }
  return out;
}

Conversion prepare(const ConvertArgs& args, Progress& progress) {
  check_arguments(args);
  Conversion c;
  c.to_float = !args.to.empty();
  c.format = c.to_float ? &float_checkpoint_format() : &find_format(args.format);
  c.job.options = parse_format_options(args.format_options, *c.format);
  if (!args.dtype.empty()) c.job.options["dtype"] = args.dtype;
  if (args.part_file_size > 0 && !c.format->shards)
    throw usage_error(fmt::format("{} loads one file and no shards", c.format->name), "--part_file_size");
  c.job.shard_bytes = static_cast<uint64_t>(args.part_file_size) << 30;
  c.job.slim = args.slim;
  c.input = open_convert_input(args.in, args.against, progress);
  c.job.geometry = c.input.geometry;
  c.job.layers = c.input.layers;
  if (c.input.manifest && c.input.manifest->numerics == "compat") c.job.numerics = Numerics::kCompat;
  if (c.to_float) {
    for (LayerPlan& layer : c.job.layers) {
      layer.scheme = {};
      layer.hadamard_group = 0;
    }
    if (args.slim) throw usage_error("a float checkpoint has every tensor", "--slim");
  } else {
    if (const auto& extra = c.input.extra) {
      throw Error({.what = fmt::format("the Linear has {}, which convert does not carry to {}", extra->what,
                                       c.format->name),
                   .where = extra->layer,
                   .hint = "use --to float, or quantize the float model for this format"});
    }
    check_supported(*c.format, c.job);
  }
  c.extra = extra_files(args, c);
  return c;
}

Json files_of(const Checkpoint& file) {
  Json out = Json::array();
  for (const Checkpoint::OpenFile& f : file.files()) {
    out.push_back({{"file", f.file.path().filename().string()},
                   {"bytes", f.stamp.size},
                   {"modified_ns", f.stamp.modified_ns}});
  }
  return out;
}

Json identity(const Conversion& c) {
  return {{"version", kVersion},
          {"command", "convert"},
          {"from", c.input.format->name},
          {"format", c.format->name},
          {"format_options", c.job.options},
          {"part_file_size", c.job.shard_bytes},
          {"slim", c.job.slim},
          {"input", files_of(c.input.file)},
          {"against", c.input.model ? files_of(c.input.model->file()) : Json()}};
}

// The layer's values and the checksums of what was read.
LayerValue read_layer(const Conversion& c, size_t index, const FormatWriter& writer, SourceHashes& hashes) {
  const LayerPlan& stored = c.input.layers[index];
  const auto wanted = writer.tensors(index);
  LayerValue value;
  if (!stored.quantized()) {
    const std::vector<std::string> names = stored.tensors();
    for (size_t t = 0; t < names.size(); ++t) {
      const Tensor tensor = c.input.holder(names[t]).load(names[t]);
      hashes.push_back(hash_hex(tensor.raw()));
      value.values.push_back(float_tensor(tensor, wanted[t].dtype, names[t]));
    }
    return value;
  }
  QuantizedLinear q = c.input.source->load_quantized(stored.name).value();
  hashes.push_back(hash_hex(q.weight.raw()));
  if (!q.bias.empty()) hashes.push_back(hash_hex(q.bias.raw()));
  if (!c.to_float) {
    if (!q.bias.empty()) q.bias = float_tensor(q.bias, DType::kF32, stored.name + ".bias");
    value.quantized = std::move(q);
    return value;
  }
  value.values.push_back(float_tensor(dequantize(q), wanted[0].dtype, stored.name + ".weight"));
  if (!q.bias.empty()) value.values.push_back(float_tensor(q.bias, wanted[1].dtype, stored.name + ".bias"));
  return value;
}

void carry_out(const Conversion& c, FormatWriter& writer, Progress& progress) {
  std::vector<size_t> pending;
  uint64_t total = 0;
  for (size_t i = 0; i < c.job.layers.size(); ++i) {
    if (writer.done(i) || writer.layer_bytes(i) == 0) continue;
    pending.push_back(i);
    total += writer.layer_bytes(i);
  }
  progress.start("converting", total);
  // A few layers in memory at once, whatever the number of cores.
  run_workers(std::min(threads(), c.to_float ? 2 : 4), static_cast<int64_t>(pending.size()), [&](int64_t n) {
    throw_if_interrupted();
    const size_t i = pending[static_cast<size_t>(n)];
    SourceHashes hashes;
    const LayerValue value = read_layer(c, i, writer, hashes);
    writer.write(i, value, hashes);
    progress.advance(writer.layer_bytes(i), c.job.layers[i].name);
  });
  progress.finish();
  c.input.file.check_unchanged();
  if (c.input.model) c.input.model->file().check_unchanged();
}

Manifest describe(const Conversion& c, const FormatWriter& writer) {
  Manifest m;
  m.version = kVersion;
  m.format = c.format->name;
  m.numerics = c.job.numerics == Numerics::kCompat ? "compat" : "precise";
  m.recipe = fmt::format("converted from {}", c.input.format->name);
  if (c.input.manifest) {
    m.recipe = fmt::format("{}, {}", c.input.manifest->recipe, m.recipe);
    m.recipe_hash = c.input.manifest->recipe_hash;
    // What the codes are codes of stays what it was.
    m.loras = c.input.manifest->loras;
    m.rotated_outputs = c.input.manifest->rotated_outputs;
    m.rotated_inputs = c.input.manifest->rotated_inputs;
  }
  m.variant = variant_name(c.job.geometry);
  for (size_t i = 0; i < c.job.layers.size(); ++i) {
    if (writer.layer_bytes(i) > 0) m.source_tensors += static_cast<int64_t>(c.job.layers[i].tensors().size());
  }
  for (const Checkpoint::OpenFile& f : c.input.file.files()) m.source_bytes += f.stamp.size;
  return m;
}

void report(const ConvertArgs& args, const Conversion& c, const FormatWriter& writer, double seconds) {
  int64_t quantized = 0;
  for (const LayerPlan& layer : c.input.layers) quantized += layer.quantized();
  if (args.json) {
    const Json out = {{"save_path", args.out},
                      {"from", c.input.format->name},
                      {"format", c.format->name},
                      {"variant", variant_name(c.job.geometry)},
                      {"quantized_linears", quantized},
                      {"bytes", writer.output_bytes()},
                      {"seconds", seconds}};
    std::printf("%s\n", out.dump(2).c_str());
    return;
  }
  std::printf("%s: %lld quantized Linears of %s as %s; %s in %.1f s\n", args.out.c_str(),
              static_cast<long long>(quantized), std::string(c.input.format->name).c_str(),
              std::string(c.format->name).c_str(),
              human_bytes(static_cast<double>(writer.output_bytes())).c_str(), seconds);
}

int run_convert(const ConvertArgs& args) {
  const auto begin = std::chrono::steady_clock::now();
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  const Conversion c = prepare(args, terminal);
  FormatWriter writer(*c.format, c.job);
  OutputFolder folder =
      OutputFolder::open(args.out, identity(c), writer.final_names(c.extra), args.overwrite);
  try {
    writer.open(folder, terminal);
    if (!folder.committed()) carry_out(c, writer, terminal);
    writer.finish(describe(c, writer), c.extra);
  } catch (const Error& e) {
    // What will be wrong the next time too is not worth keeping.
    if (e.parts.kind == Error::Kind::kInput) folder.discard();
    throw;
  }
  report(args, c, writer, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return 0;
}

}  // namespace

std::function<int()> setup_convert(Options& options) {
  auto args = std::make_shared<ConvertArgs>();
  options.text("IN", args->in, "folder (or file) that wanslim quant has written", true)
      .text("OUT", args->out, "folder for the result", true)
      .text("--format", args->format, "the same codes and scales for another runtime: " + format_names())
      .choice("--to", args->to, {"float"}, "float: an ordinary checkpoint under official names")
      .choice("--dtype", args->dtype, {"bf16", "f32", "f16"},
              "with --to float: dtype of all tensors (default bf16)")
      .text("--against", args->against, "the float model, for tensors that IN leaves out (--slim)")
      .texts("--format_option", args->format_options, "name=value, a choice that the format leaves open")
      .integer("--part_file_size", args->part_file_size,
               "split the weights into files of so many GiB where the format allows it; 0: one file")
      .flag("--slim", args->slim, "leave out float tensors that the runtime never reads")
      .flag("--overwrite", args->overwrite, "replace what is in the folder")
      .integer("--threads", args->threads, "threads, 0: all cores")
      .flag("--json", args->json, "result as JSON on standard output");
  return [args] { return run_convert(*args); };
}

}  // namespace wanslim
