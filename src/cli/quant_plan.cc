// SPDX-License-Identifier: Apache-2.0
#include "cli/quant_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "calib/walk.h"
#include "cli/lora_option.h"
#include "cli/terminal.h"
#include "models/names.h"

namespace wanslim {
namespace {

constexpr uint64_t kProbeBytes = uint64_t{64} << 20;
constexpr uint64_t kProgramMemory = uint64_t{40} << 20;

// Bytes a second of reading the largest tensor, or what there is of it.
double probe_reading(const Checkpoint& file) {
  const StoredTensor* largest = nullptr;
  for (const StoredTensor& t : file.tensors()) {
    if (t.strides.empty() && (!largest || t.bytes > largest->bytes)) largest = &t;
  }
  if (!largest) return 1e9;
  const size_t size = std::min(kProbeBytes, largest->bytes) / 8 * 8;
  Buffer buffer(size);
  const auto begin = std::chrono::steady_clock::now();
  file.read(*largest, 0, {buffer.data(), size});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return static_cast<double>(size) / std::max(seconds, 1e-9);
}

}  // namespace

std::string layer_kind(const std::string& name) {
  if (const auto path = parse_block_path(name)) return fmt::format("{}.*.{}", path->list, path->rest);
  constexpr std::string_view kLayers = "visual.transformer.";
  const size_t dot = name.find('.', kLayers.size());
  if (!name.starts_with(kLayers) || dot == std::string::npos) return name;
  return std::string(kLayers) + "*" + name.substr(dot);
}

PlanSummary summarize(const FormatJob& job, const FormatWriter& writer, const QuantModel& model,
                      const LoraSet& loras) {
  PlanSummary s{.variant = model.variant};
  uint64_t largest = 0;
  for (size_t i = 0; i < job.layers.size(); ++i) {
    if (writer.layer_bytes(i) == 0) continue;
    for (const std::string& name : job.layers[i].tensors())
      s.read_bytes += static_cast<uint64_t>(element_count(model.weights->shape(name))) *
                      size_of(model.weights->dtype(name));
    if (in_slices(job.layers[i])) continue;
    largest = std::max(
        largest, source_bytes(job.layers[i]) + writer.layer_bytes(i) + merge_memory(loras, job.layers[i]));
  }
  for (size_t i = 0; i < loras.files().size(); ++i) {
    const LoraFile& file = loras.files()[i];
    s.loras.push_back(fmt::format("{} at {}: {}", file.path.filename().string(), file.strength,
                                  to_string(loras.contents()[i])));
    for (const Checkpoint::OpenFile& opened : loras.checkpoints()[i].files())
      s.read_bytes += opened.stamp.size;
  }
  s.write_bytes = writer.output_bytes();
  s.peak_memory = std::max(walk_memory(job.layers), largest) + kProgramMemory;
  s.seconds = static_cast<double>(s.read_bytes + s.write_bytes) / probe_reading(*model.file);
  return s;
}

Json plan_json(const FormatJob& job, const FormatWriter& writer, const PlanSummary& s) {
  Json layers = Json::array();
  for (size_t i = 0; i < job.layers.size(); ++i) {
    const LayerPlan& layer = job.layers[i];
    layers.push_back({{"name", layer.name},
                      {"scheme", scheme_label(layer.scheme)},
                      {"shape", layer.shape},
                      {"bytes", writer.layer_bytes(i)},
                      {"why", layer.reason}});
  }
  return {{"variant", s.variant},
          {"read_bytes", s.read_bytes},
          {"write_bytes", s.write_bytes},
          {"peak_memory_bytes", s.peak_memory},
          {"estimated_seconds", s.seconds},
          {"loras", s.loras},
          {"layers", layers}};
}

std::string plan_text(const FormatJob& job, const FormatWriter& writer, const PlanSummary& s) {
  struct Row {
    std::string name, scheme, why;
    int count = 0;
    uint64_t bytes = 0;
  };
  std::vector<Row> rows;
  std::map<std::string, size_t> by_key;
  for (size_t i = 0; i < job.layers.size(); ++i) {
    const LayerPlan& layer = job.layers[i];
    Row row{.name = layer_kind(layer.name), .scheme = scheme_label(layer.scheme), .why = layer.reason};
    const auto [at, fresh] = by_key.emplace(row.name + "|" + row.scheme + "|" + row.why, rows.size());
    if (fresh) rows.push_back(row);
    ++rows[at->second].count;
    rows[at->second].bytes += writer.layer_bytes(i);
  }
  std::string out =
      fmt::format("{:<36} {:>5}  {:<16} {:>11}  {}\n", "layer", "count", "scheme", "bytes", "why");
  for (const Row& row : rows) {
    out += fmt::format("{:<36} {:>5}  {:<16} {:>11}  {}\n", row.name, row.count, row.scheme,
                       human_bytes(static_cast<double>(row.bytes)), row.why);
  }
  for (const std::string& lora : s.loras) out += fmt::format("LoRA {}\n", lora);
  out += fmt::format(
      "variant {}; reads {}, writes {}; peak memory about {}; about {:.1f} s if the disk writes as fast as "
      "it reads\n",
      s.variant, human_bytes(static_cast<double>(s.read_bytes)),
      human_bytes(static_cast<double>(s.write_bytes)), human_bytes(static_cast<double>(s.peak_memory)),
      s.seconds);
  return out;
}

}  // namespace wanslim
