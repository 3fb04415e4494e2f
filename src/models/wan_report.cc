// SPDX-License-Identifier: Apache-2.0
#include "models/wan_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/threads.h"

namespace wanslim {
namespace {

constexpr uint64_t kPiece = uint64_t{4} << 20;  // bytes of a tensor that are looked at together

void count_dtypes(const Checkpoint& file, WanReport& report) {
  for (const StoredTensor& t : file.tensors()) {
    auto share = std::find_if(report.dtypes.begin(), report.dtypes.end(),
                              [&](const DTypeShare& s) { return s.dtype == t.dtype; });
    if (share == report.dtypes.end())
      share = report.dtypes.insert(share, {.dtype = t.dtype, .tensors = 0, .parameters = 0, .bytes = 0});
    const int64_t count = element_count(t.shape);
    ++share->tensors;
    share->parameters += count;
    share->bytes += t.bytes;
    report.parameters += count;
  }
  std::sort(report.dtypes.begin(), report.dtypes.end(), [](const DTypeShare& a, const DTypeShare& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.dtype < b.dtype;
  });
}

WanReport::Model model_of(const WanMatch& match) {
  WanReport::Model model{
      .variant = variant_name(match.geometry), .naming = match.naming, .geometry = match.geometry};
  if (model.variant != "custom") model.published_layers = wan_variant(model.variant).geometry.layers;
  for (const WanTensor& t : match.tensors) {
    if (!t.spec.in_block() || !t.spec.is_linear_weight()) continue;
    ++model.block_linears;
    model.block_linear_parameters += element_count(t.spec.shape);
  }
  return model;
}

// Dtypes of the Linear weights in blocks and in vace_blocks: a mixture among them is worth knowing, since it
// is what the quantized weights are made from.
void note_mixture(const WanMatch& match, WanReport& report) {
  std::map<std::string, size_t> seen;
  for (const WanTensor& t : match.tensors) {
    if (t.spec.is_linear_weight() && t.spec.in_block())
      ++seen[fmt::format("{} in {}", name_of(t.stored->dtype), t.spec.vace ? "vace_blocks" : "blocks")];
  }
  std::vector<std::string> parts;
  for (const auto& [kind, count] : seen) parts.push_back(fmt::format("{} are {}", count, kind));
  const std::string first = seen.empty() ? "" : seen.begin()->first.substr(0, 4);
  const bool mixed = std::any_of(seen.begin(), seen.end(),
                                 [&](const auto& item) { return item.first.substr(0, 4) != first; });
  if (mixed)
    report.odd.push_back(fmt::format("the Linear weights have mixed dtypes: {}", fmt::join(parts, ", ")));
}

void note_model(const WanReport::Model& model, WanReport& report) {
  const WanGeometry& g = model.geometry;
  if (model.variant == "custom") {
    report.odd.emplace_back("no published Wan2.1 transformer has these sizes");
  } else if (g.layers != model.published_layers) {
    report.odd.push_back(
        fmt::format("blocks: {} here, {} in {}", g.layers, model.published_layers, model.variant));
  }
  if (g.heads * 128 != g.dim)
    report.odd.push_back(fmt::format("heads of {}, Wan2.1 has 128", g.dim / g.heads));
  if (!report.has_config && model.naming != Naming::kComfyUi)
    report.odd.emplace_back("there is no config.json; the sizes are those of the tensors");
}

void match_and_note(const Checkpoint& file, WanReport& report) {
  const std::string where = file.folder().string();
  try {
    const std::optional<ConfigText> config = read_config(file);
    report.has_config = config.has_value();
    const WanMatch match = match_wan(file.tensors(), config, where);
    report.model = model_of(match);
    note_model(*report.model, report);
    note_mixture(match, report);
    require_complete(match, where);
  } catch (const Error& e) {
    report.odd.push_back(e.parts.kind == Error::Kind::kInput ? e.parts.what : e.text);
  }
}

// Counts values whose exponent bits are all ones.
template <class Bits>
void count_in(std::span<const std::byte> bytes, Bits exponent, int64_t start, NonFinite& out) {
  const size_t count = bytes.size() / sizeof(Bits);
  for (size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    if ((bits & exponent) != exponent) continue;
    if (out.nan + out.infinite == 0) out.first = start + static_cast<int64_t>(i);
    // Everything below the exponent is zero in an infinity.
    const Bits mantissa = static_cast<Bits>((Bits{1} << std::countr_zero(exponent)) - 1);
    ++(bits & mantissa ? out.nan : out.infinite);
  }
}

void count_non_finite(DType dtype, std::span<const std::byte> bytes, int64_t start, NonFinite& out) {
  switch (dtype) {
    case DType::kF32:
      return count_in<uint32_t>(bytes, 0x7f800000u, start, out);
    case DType::kBF16:
      return count_in<uint16_t>(bytes, 0x7f80u, start, out);
    case DType::kF16:
      return count_in<uint16_t>(bytes, 0x7c00u, start, out);
    case DType::kF64:
      return count_in<uint64_t>(bytes, 0x7ff0000000000000u, start, out);
    default:
      return;
  }
}

}  // namespace

WanReport report_on(const Checkpoint& file) {
  WanReport report;
  for (const Checkpoint::OpenFile& opened : file.files()) {
    report.files.push_back(opened.file.path());
    report.file_bytes += opened.stamp.size;
  }
  report.tensors = file.tensors().size();
  count_dtypes(file, report);
  match_and_note(file, report);
  return report;
}

std::vector<NonFinite> find_non_finite(const Checkpoint& file, Progress& progress) {
  std::vector<const StoredTensor*> tensors;
  uint64_t total = 0;
  for (const StoredTensor& t : file.tensors()) {
    tensors.push_back(&t);
    total += t.bytes;
  }
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return a->file != b->file ? a->file < b->file : a->offset < b->offset;
  });
  std::vector<NonFinite> counts(tensors.size());
  progress.start("scan", total);
  run_workers(threads(), static_cast<int64_t>(tensors.size()), [&](int64_t i) {
    const StoredTensor& t = *tensors[static_cast<size_t>(i)];
    NonFinite& out = counts[static_cast<size_t>(i)];
    out.tensor = t.name;
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(kPiece, t.bytes)));
    for (uint64_t at = 0; at < t.bytes; at += kPiece) {
      throw_if_interrupted();
      const std::span<std::byte> piece(buffer.data(), static_cast<size_t>(std::min(kPiece, t.bytes - at)));
      file.read(t, at, piece);
      count_non_finite(t.dtype, piece, static_cast<int64_t>(at / size_of(t.dtype)), out);
      progress.advance(piece.size(), t.name);
    }
  });
  progress.finish();
  std::erase_if(counts, [](const NonFinite& n) { return n.nan + n.infinite == 0; });
  return counts;
}

}  // namespace wanslim
