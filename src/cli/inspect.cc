// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "formats/format.h"
#include "formats/manifest.h"
#include "models/lora_report.h"
#include "models/quant_model.h"
#include "models/wan_report.h"

namespace wanslim {
namespace {

struct InspectArgs {
  std::string path;
  bool scan = false, json = false;
  int64_t threads = 0;
};

// All that is shown.
struct Findings {
  WanReport report;
  const Format* format = nullptr;  // of quantized output
  std::optional<Manifest> manifest;
  std::optional<LoraReport> lora;
  std::optional<QuantModel> encoder;
  std::optional<std::vector<NonFinite>> non_finite;  // with --scan
};

const Format* format_of(const Path& path) {
  for (const Format& format : formats()) {
    if (format.recognizes(path)) return &format;
  }
  return nullptr;
}

std::vector<std::string> lora_oddities(const LoraReport& lora) {
  std::vector<std::string> out;
  if (lora.variants.empty()) out.push_back("it fits no published Wan2.1 transformer: " + lora.why);
  constexpr size_t kShown = 10;
  std::vector<std::string> keys = lora.unmatched;
  keys.resize(std::min(kShown, keys.size()));
  if (!keys.empty())
    out.push_back(fmt::format("{} keys belong to no tensor of it: {}{}", lora.unmatched.size(),
                              fmt::join(keys, ", "), lora.unmatched.size() > kShown ? ", ..." : ""));
  return out;
}

void look_at_encoder(const Path& path, Findings& found) {
  found.report.odd.clear();
  try {
    found.encoder = open_quant_model(path);
  } catch (const Error& e) {
    found.report.odd.push_back(e.text);
  }
}

Findings look(const InspectArgs& args) {
  Findings found;
  found.format = format_of(args.path);
  if (is_folder(args.path)) found.manifest = read_manifest(args.path);
  const Checkpoint file = Checkpoint::open(args.path);
  found.report = report_on(file);
  found.lora = report_on_lora(file, args.path);
  if (found.lora) found.report.odd = lora_oddities(*found.lora);
  if (!found.format && detect_part(file) != ModelPart::kTransformer) look_at_encoder(args.path, found);
  if (found.format) {
    // That it is no float checkpoint is not odd here.
    found.report.odd.clear();
    if (!found.manifest) found.report.odd.emplace_back("there is no manifest: another program wrote this");
  }
  Terminal terminal;
  if (args.scan) found.non_finite = find_non_finite(file, terminal);
  return found;
}

int64_t linears_of(const QuantModel& model) {
  return std::count_if(model.layers.begin(), model.layers.end(),
                       [](const LayerPlan& layer) { return layer.linear && layer.block >= 0; });
}

Json geometry_json(const WanGeometry& g) {
  Json out = {{"blocks", g.layers},     {"dim", g.dim},           {"heads", g.heads},
              {"ffn_dim", g.ffn_dim},   {"in_dim", g.in_dim},     {"out_dim", g.out_dim},
              {"text_dim", g.text_dim}, {"text_len", g.text_len}, {"eps", g.eps}};
  if (g.has_image_condition) out["image_dim"] = g.image_dim;
  if (!g.vace_layers.empty()) out["vace_layers"] = g.vace_layers;
  return out;
}

Json manifest_json(const Manifest& m) {
  Json loras = Json::array();
  for (const ManifestLora& lora : m.loras)
    loras.push_back({{"file", lora.file}, {"strength", lora.strength}, {"hash", lora.hash}});
  return {{"version", m.version},
          {"format", m.format},
          {"numerics", m.numerics},
          {"recipe", m.recipe},
          {"variant", m.variant},
          {"schemes", m.layers},
          {"loras", loras},
          {"source", {{"hash", m.source_hash}, {"tensors", m.source_tensors}, {"bytes", m.source_bytes}}}};
}

Json to_json(const Findings& found) {
  const WanReport& r = found.report;
  Json out;
  if (r.model) {
    out["variant"] = r.model->variant;
    out["model_type"] = model_type(r.model->geometry);
    out["naming"] = name_of(r.model->naming);
    out["geometry"] = geometry_json(r.model->geometry);
    out["block_linears"] = {{"count", r.model->block_linears},
                            {"parameters", r.model->block_linear_parameters}};
  }
  if (found.encoder) {
    out["variant"] = found.encoder->variant;
    out["model_type"] = name_of(found.encoder->part);
    out["block_linears"] = {{"count", linears_of(*found.encoder)}};
  }
  if (found.format) out["format"] = found.format->name;
  if (found.lora)
    out["lora"] = {{"contents", to_string(found.lora->contents)}, {"fits", found.lora->variants}};
  if (found.manifest) out["manifest"] = manifest_json(*found.manifest);
  out["tensors"] = r.tensors;
  out["parameters"] = r.parameters;
  out["bytes"] = r.file_bytes;
  out["files"] = Json::array();
  for (const Path& file : r.files) out["files"].push_back(file.string());
  out["dtypes"] = Json::object();
  for (const DTypeShare& s : r.dtypes) {
    out["dtypes"][std::string(name_of(s.dtype))] = {
        {"tensors", s.tensors}, {"parameters", s.parameters}, {"bytes", s.bytes}};
  }
  out["odd"] = r.odd;
  if (!found.non_finite) return out;
  out["non_finite"] = Json::array();
  for (const NonFinite& n : *found.non_finite)
    out["non_finite"].push_back(
        {{"tensor", n.tensor}, {"nan", n.nan}, {"infinite", n.infinite}, {"first", n.first}});
  return out;
}

void print_model(const WanReport::Model& m) {
  const WanGeometry& g = m.geometry;
  fmt::print("  Wan2.1 {}, variant {}, {} names\n", model_type(g), m.variant, name_of(m.naming));
  fmt::print("  blocks {}, width {}, heads {}, feed-forward {}, input channels {}, text {} x {}\n", g.layers,
             g.dim, g.heads, g.ffn_dim, g.in_dim, g.text_len, g.text_dim);
  if (!g.vace_layers.empty()) fmt::print("  VACE blocks {}\n", g.vace_layers.size());
  fmt::print("  {} Linears in blocks with {} parameters\n", m.block_linears, m.block_linear_parameters);
}

void print_manifest(const Manifest& m) {
  fmt::print("  written by wanslim {}, {} numerics, recipe {}\n", m.version, m.numerics, m.recipe);
  fmt::print("  made from a {} of {} tensors, {}, fingerprint {}\n", m.variant, m.source_tensors,
             human_bytes(static_cast<double>(m.source_bytes)), m.source_hash);
  for (const ManifestLora& lora : m.loras)
    fmt::print("  merged LoRA {} at {}, fingerprint {}\n", printable(lora.file), lora.strength, lora.hash);
  for (const auto& [scheme, count] : m.layers) fmt::print("  {:>6} Linears {}\n", count, scheme);
}

void print(const InspectArgs& args, const Findings& found) {
  const WanReport& r = found.report;
  fmt::print("{}\n", printable(args.path));
  if (found.format) fmt::print("  quantized, format {} ({})\n", found.format->name, found.format->summary);
  if (r.model) print_model(*r.model);
  if (found.encoder)
    fmt::print("  {} of Wan2.1, variant {}, {} Linears in blocks\n", name_of(found.encoder->part),
               found.encoder->variant, linears_of(*found.encoder));
  if (found.lora && !found.lora->variants.empty())
    fmt::print("  LoRA for {}: {}\n", fmt::join(found.lora->variants, ", "), to_string(found.lora->contents));
  if (found.manifest) print_manifest(*found.manifest);
  fmt::print("  {} tensors, {} parameters, {} in {} file{}\n", r.tensors, r.parameters,
             human_bytes(static_cast<double>(r.file_bytes)), r.files.size(), r.files.size() == 1 ? "" : "s");
  for (const DTypeShare& s : r.dtypes)
    fmt::print("  {:>8}: {} tensors, {}\n", name_of(s.dtype), s.tensors,
               human_bytes(static_cast<double>(s.bytes)));
  for (const std::string& line : r.odd) fmt::print("  ODD: {}\n", printable(line));
  if (!found.non_finite) return;
  if (found.non_finite->empty()) fmt::print("  all values are finite\n");
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, found.non_finite->size()); ++i) {
    const NonFinite& n = (*found.non_finite)[i];
    fmt::print("  NOT FINITE: {}: {} NaN, {} infinite, first at element {}\n", printable(n.tensor), n.nan,
               n.infinite, n.first);
  }
  if (found.non_finite->size() > kShown)
    fmt::print("  ... and in {} more tensors\n", found.non_finite->size() - kShown);
}

int run_inspect(const InspectArgs& args) {
  set_threads(static_cast<int>(args.threads));
  const Findings found = look(args);
  if (args.json) {
    // Names from a file may hold any bytes.
    std::printf("%s\n", to_json(found).dump(2, Json::Text::kReplaced).c_str());
  } else {
    print(args, found);
  }
  return found.non_finite && !found.non_finite->empty() ? 1 : 0;
}

}  // namespace

std::function<int()> setup_inspect(Options& options) {
  auto args = std::make_shared<InspectArgs>();
  options.text("PATH", args->path, "checkpoint (file, index or folder) or quantized folder", true)
      .flag("--scan", args->scan, "read all weights and report NaN and Inf; exit status 1 if there are any")
      .integer("--threads", args->threads, "threads for --scan, 0: all cores")
      .flag("--json", args->json, "as JSON");
  return [args] { return run_inspect(*args); };
}

}  // namespace wanslim
