// SPDX-License-Identifier: Apache-2.0
// Streams the layers of a job into an output folder in one format: headers first (all sizes are known),
// tensors at their places in any order, checksums into the journal, small files and the manifest last.
//
//   FormatWriter(...) -> write(layer)* (each layer that is not done(), any order, any thread) -> finish
#pragma once
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/progress.h"
#include "formats/format.h"
#include "formats/manifest.h"
#include "io/output_folder.h"

namespace wanslim {

// Checksums of the source tensors of one layer, in the order of LayerPlan::tensors().
using SourceHashes = std::vector<std::string>;

class FormatWriter {
 public:
  // `job` must outlive the writer.
  FormatWriter(const Format& format, const FormatJob& job);

  // All files that finish() leaves, the last one last. `extra`: files that go along, such as config.json.
  std::vector<std::string> final_names(const std::vector<Sidecar>& extra) const;
  uint64_t output_bytes() const;
  // Bytes of the tensors that a layer becomes; 0: the layer need not be read.
  uint64_t layer_bytes(size_t layer) const;

  // Checks the space and opens the files. In a resumed folder every piece that the journal names is read
  // back; what does not match its checksum counts as not done.
  void open(OutputFolder& folder, Progress& progress);
  // What the layer becomes.
  std::span<const OutTensor> tensors(size_t layer) const {
    return std::span(tensors_).subspan(first_[layer], first_[layer + 1] - first_[layer]);
  }
  bool done(size_t layer) const { return done_[layer]; }
  // A float layer's values have the dtypes of tensors(layer).
  void write(size_t layer, const LayerValue& value, const SourceHashes& source);
  // The same for a layer of one float tensor in slices: rows in order from 0 on, then the end.
  void write_rows(size_t layer, int64_t first_row, const Tensor& rows);
  void end_rows(size_t layer, const SourceHashes& source);
  // Fills in the checksums of `manifest`, writes the small files, moves everything into place.
  void finish(Manifest manifest, const std::vector<Sidecar>& extra);

 private:
  struct Placed {
    size_t file;
    uint64_t offset, bytes;
  };
  void note(size_t layer, const std::vector<std::string>& hashes, const SourceHashes& source);
  void restore(const Json& record, const std::map<std::string, size_t>& by_name);
  std::string source_hash() const;

  const Format& format_;
  const FormatJob& job_;
  std::vector<OutTensor> tensors_;  // of all layers, in order
  std::vector<size_t> first_;       // layer -> its first tensor; one more at the end
  std::vector<FileLayout> layout_;
  std::vector<Placed> places_;  // beside tensors_
  OutputFolder* folder_ = nullptr;
  std::vector<File> files_;
  std::vector<std::string> hashes_;    // beside tensors_
  std::vector<SourceHashes> sources_;  // beside job.layers
  std::vector<char> done_;
  std::map<size_t, Hasher> sliced_;  // of layers that are written in slices
  std::mutex mutex_;
};

}  // namespace wanslim
