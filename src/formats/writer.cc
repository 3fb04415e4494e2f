// SPDX-License-Identifier: Apache-2.0
#include "formats/writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace wanslim {
namespace {

// Checksum of a range of a file, read in pieces.
std::string hash_range(const File& file, uint64_t offset, uint64_t bytes) {
  Hasher hasher;
  std::vector<std::byte> piece(std::min<uint64_t>(bytes, uint64_t{4} << 20));
  for (uint64_t at = 0; at < bytes;) {
    const size_t size = std::min<uint64_t>(piece.size(), bytes - at);
    file.read_at(offset + at, std::span(piece).first(size));
    hasher.update(std::span<const std::byte>(piece).first(size));
    at += size;
  }
  return hasher.digest();
}

}  // namespace

FormatWriter::FormatWriter(const Format& format, const FormatJob& job) : format_(format), job_(job) {
  for (const LayerPlan& layer : job.layers) {
    first_.push_back(tensors_.size());
    for (OutTensor& tensor : format.plan(layer, job)) tensors_.push_back(std::move(tensor));
  }
  first_.push_back(tensors_.size());
  layout_ = format.layout(tensors_, job);
  std::map<std::string_view, Placed> by_name;
  for (size_t f = 0; f < layout_.size(); ++f) {
    for (const TensorPlace& p : layout_[f].places) by_name[p.name] = {f, p.offset, p.bytes};
  }
  for (const OutTensor& tensor : tensors_) places_.push_back(by_name.at(tensor.name));
  hashes_.resize(tensors_.size());
  sources_.resize(job.layers.size());
  done_.resize(job.layers.size());
}

std::vector<std::string> FormatWriter::final_names(const std::vector<Sidecar>& extra) const {
  std::vector<std::string> out;
  for (const FileLayout& file : layout_) out.push_back(file.name);
  for (const Sidecar& file : extra) out.push_back(file.name);
  out.emplace_back(kManifestName);
  for (const Sidecar& file : format_.sidecars(tensors_, job_)) out.push_back(file.name);
  return out;
}

uint64_t FormatWriter::output_bytes() const {
  uint64_t total = 0;
  for (const FileLayout& file : layout_) total += file.file_bytes;
  return total;
}

uint64_t FormatWriter::layer_bytes(size_t layer) const {
  uint64_t total = 0;
  for (size_t t = first_[layer]; t < first_[layer + 1]; ++t) total += places_[t].bytes;
  return total;
}

void FormatWriter::open(OutputFolder& folder, Progress& progress) {
  folder_ = &folder;
  if (folder.committed()) return;
  folder.check_space(output_bytes() + (uint64_t{1} << 20));
  for (const FileLayout& file : layout_) {
    File partial = folder.partial(file.name);
    if (partial.size() != file.file_bytes) partial.truncate(0);
    partial.reserve(file.file_bytes);
    partial.write_at(0, std::as_bytes(std::span(file.head)));
    files_.push_back(std::move(partial));
  }
  if (folder.records().empty()) return;
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < job_.layers.size(); ++i) by_name[job_.layers[i].name] = i;
  for (const Json& record : folder.records()) restore(record, by_name);
  const auto kept = std::count(done_.begin(), done_.end(), 1);
  progress.info(
      fmt::format("going on from an unfinished run: {} of {} layers are there", kept, done_.size()));
}

void FormatWriter::restore(const Json& record, const std::map<std::string, size_t>& by_name) {
  const auto found = by_name.find(record.at("layer").get<std::string>());
  if (found == by_name.end()) return;
  const size_t layer = found->second;
  const auto hashes = record.at("tensors").get<std::vector<std::string>>();
  if (hashes.size() != first_[layer + 1] - first_[layer]) return;
  for (size_t i = 0; i < hashes.size(); ++i) {
    const Placed& place = places_[first_[layer] + i];
    if (hash_range(files_[place.file], place.offset, place.bytes) != hashes[i]) return;
  }
  std::copy(hashes.begin(), hashes.end(), hashes_.begin() + static_cast<std::ptrdiff_t>(first_[layer]));
  sources_[layer] = record.at("source").get<SourceHashes>();
  done_[layer] = 1;
}

void FormatWriter::write(size_t layer, const LayerValue& value, const SourceHashes& source) {
  const LayerPlan& plan = job_.layers[layer];
  std::vector<Encoded> values;
  if (plan.quantized()) {
    values = format_.encode(plan, value.quantized, job_);
  } else {
    for (const Tensor& tensor : value.values) values.push_back(borrow(tensor));
  }
  CHECK(values.size() == first_[layer + 1] - first_[layer]);
  std::vector<std::string> hashes;
  for (size_t i = 0; i < values.size(); ++i) {
    const Placed& place = places_[first_[layer] + i];
    const std::span<const std::byte> bytes = values[i].raw();
    CHECK(bytes.size() == place.bytes);
    hashes.push_back(hash_hex(bytes));
    files_[place.file].write_at(place.offset, bytes);
    files_[place.file].start_writeback(place.offset, place.bytes);
  }
  note(layer, hashes, source);
}

void FormatWriter::write_rows(size_t layer, int64_t first_row, const Tensor& rows) {
  CHECK(first_[layer + 1] - first_[layer] == 1);
  const Placed& place = places_[first_[layer]];
  const uint64_t row_bytes = rows.bytes() / static_cast<uint64_t>(rows.dim(0));
  const uint64_t at = static_cast<uint64_t>(first_row) * row_bytes;
  CHECK(at + rows.bytes() <= place.bytes);
  files_[place.file].write_at(place.offset + at, rows.raw());
  files_[place.file].start_writeback(place.offset + at, rows.bytes());
  Hasher* hasher = nullptr;
  {
    std::lock_guard guard(mutex_);
    hasher = &sliced_[layer];
  }
  hasher->update(rows.raw());
}

void FormatWriter::end_rows(size_t layer, const SourceHashes& source) {
  std::string hash;
  {
    std::lock_guard guard(mutex_);
    hash = sliced_.at(layer).digest();
    sliced_.erase(layer);
  }
  note(layer, {hash}, source);
}

void FormatWriter::note(size_t layer, const std::vector<std::string>& hashes, const SourceHashes& source) {
  folder_->record({{"layer", job_.layers[layer].name}, {"tensors", hashes}, {"source", source}});
  std::lock_guard guard(mutex_);
  std::copy(hashes.begin(), hashes.end(), hashes_.begin() + static_cast<std::ptrdiff_t>(first_[layer]));
  sources_[layer] = source;
  done_[layer] = 1;
}

std::string FormatWriter::source_hash() const {
  std::map<std::string, std::string> lines;
  for (size_t i = 0; i < job_.layers.size(); ++i) {
    const std::vector<std::string> names = job_.layers[i].tensors();
    for (size_t t = 0; t < sources_[i].size(); ++t) {
      const LayerPlan& layer = job_.layers[i];
      const DType dtype = t == 0 ? layer.dtype : layer.bias_dtype;
      lines[names[t]] = fmt::format("{} {} {} {}\n", names[t], name_of(dtype),
                                    to_string(t == 0 ? layer.shape : Shape{layer.shape[0]}), sources_[i][t]);
    }
  }
  Hasher hasher;
  for (const auto& [name, line] : lines) hasher.update(std::as_bytes(std::span(line)));
  return hasher.digest();
}

void FormatWriter::finish(Manifest manifest, const std::vector<Sidecar>& extra) {
  if (folder_->committed()) return folder_->commit({});
  manifest.source_hash = source_hash();
  for (size_t i = 0; i < tensors_.size(); ++i) manifest.tensors[tensors_[i].name] = hashes_[i];
  for (size_t i = 0; i < job_.layers.size(); ++i) {
    CHECK(done_[i] || layer_bytes(i) == 0);
    if (job_.layers[i].linear) ++manifest.layers[scheme_label(job_.layers[i].scheme)];
  }
  std::vector<Sidecar> small = extra;
  for (Sidecar& file : format_.sidecars(tensors_, job_)) small.push_back(std::move(file));
  for (const Sidecar& file : small) {
    manifest.files[file.name] = hash_hex(file.text);
    folder_->put(file.name, file.text);
  }
  folder_->put(std::string(kManifestName), manifest_text(manifest));
  files_.clear();
  folder_->commit(final_names(extra));
}

}  // namespace wanslim
