// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/spelling.h"
#include "formats/ascendv1.h"
#include "formats/comfyui.h"
#include "formats/compressed_tensors.h"
#include "formats/format.h"
#include "formats/gguf.h"
#include "formats/lightx2v.h"
#include "formats/mindie.h"
#include "formats/universal.h"
#include "formats/vllm_omni.h"

namespace wanslim {

// The table. A new format: its file pair, its test, its page in docs/formats and one row here.
std::span<const Format> formats() {
  static const Format kFormats[] = {
      mindie_format(),  ascendv1_format(), lightx2v_format(),  universal_int8_format(),
      comfyui_format(), gguf_format(),     vllm_omni_format(), compressed_tensors_format(),
  };
  return kFormats;
}

std::string format_names() {
  std::string out;
  for (const Format& format : formats()) out += (out.empty() ? "" : ", ") + std::string(format.name);
  return out;
}

const Format& find_format(std::string_view name) {
  std::vector<std::string> known;
  for (const Format& format : formats()) {
    if (format.name == name) return format;
    known.emplace_back(format.name);
  }
  throw Error({.what = fmt::format("unknown format \"{}\"{}", name, did_you_mean(name, known)),
               .where = "--format",
               .hint = fmt::format("the formats are {}", fmt::join(known, ", ")),
               .kind = Error::Kind::kUsage});
}

FileLayout safetensors_file(std::string name, const std::vector<OutTensor>& tensors, size_t file,
                            const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsEntry> entries;
  for (const OutTensor& t : tensors) {
    if (t.file == file) entries.push_back({.name = t.name, .dtype = t.dtype, .shape = t.shape});
  }
  SafetensorsLayout layout = layout_safetensors(std::move(entries), metadata);
  FileLayout out{
      .name = std::move(name), .head = std::move(layout.head), .places = {}, .file_bytes = layout.file_bytes};
  for (SafetensorsEntry& e : layout.entries)
    out.places.push_back({.name = std::move(e.name), .offset = e.offset, .bytes = e.bytes});
  return out;
}

const Format& recognize_format(const Path& path) {
  for (const Format& format : formats()) {
    if (format.recognizes(path)) return format;
  }
  throw Error({.what = "this is no output that wanslim knows",
               .where = path.string(),
               .hint = "give a folder that wanslim quant has written"});
}

void check_part(const Format& format, ModelPart part) {
  const auto loads = [&](const Format& f) {
    return std::find(f.parts.begin(), f.parts.end(), part) != f.parts.end();
  };
  if (loads(format)) return;
  std::vector<std::string_view> others;
  for (const Format& other : formats()) {
    if (loads(other)) others.push_back(other.name);
  }
  throw Error({.what = fmt::format("the runtime of {} loads no quantized {}", format.name, name_of(part)),
               .where = "--format",
               .hint = fmt::format("formats that hold it: {}", fmt::join(others, ", ")),
               .kind = Error::Kind::kUsage});
}

void check_supported(const Format& format, const FormatJob& job) {
  if (job.slim && !format.slims) {
    throw Error(
        {.what = fmt::format("the runtime of {} reads every tensor: none can be left out", format.name),
         .where = "--slim",
         .hint = "leave --slim out",
         .kind = Error::Kind::kUsage});
  }
  check_part(format, job.part);
  for (const LayerPlan& layer : job.layers) {
    if (!layer.quantized()) continue;
    std::string why;
    bool good = format.supports(layer.scheme, &why);
    if (good && layer.hadamard_group > 0 && !format.rotates) {
      good = false;
      why = "its runtime does not rotate the inputs";
    }
    if (good && layer.low_rank > 0 && !format.branches) {
      good = false;
      why = "its runtime has no low-rank branch beside a layer (svd_res)";
    }
    if (good) continue;
    throw Error({.what = fmt::format("the format {} cannot hold this scheme: {}", format.name, why),
                 .where = layer.name,
                 .hint = "choose another format or another scheme"});
  }
  format.check(job);
}

}  // namespace wanslim
