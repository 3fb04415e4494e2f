// SPDX-License-Identifier: Apache-2.0
// A float checkpoint of a Wan2.1 transformer: an io::Checkpoint whose tensors were found complete, under
// official names whatever its naming.
//
//   WanCheckpoint c = open_wan(path);
//   for (const WanTensor& t : c.tensors()) c.file().load(*t.stored);
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/wan_variants.h"
#include "io/checkpoint.h"
#include "models/names.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct WanTensor {
  TensorSpec spec;                       // official name, and the shape that it must have
  const StoredTensor* stored = nullptr;  // where it lies
};

// What a list of stored tensors is as a Wan transformer. Only a match without findings is complete.
struct WanMatch {
  Naming naming = Naming::kOfficial;
  WanGeometry geometry;
  std::vector<WanTensor> tensors;  // found, with the right shape, in official order

  std::vector<std::string> missing;              // as the checkpoint would name them
  std::vector<const StoredTensor*> unexpected;   // of no module of this transformer
  std::vector<WanTensor> misshapen;              // shape differs from the spec's
  std::vector<const StoredTensor*> wrong_dtype;  // neither F32 nor BF16 nor F16
  bool complete() const {
    return missing.empty() && unexpected.empty() && misshapen.empty() && wrong_dtype.empty();
  }
};

// The text of config.json and its path for messages.
struct ConfigText {
  std::string text, where;
};

// Sizes come from the tensors and, where those cannot tell, from the config. Error if this is no float Wan
// transformer at all (quantized already, another model) or the config contradicts the tensors; what is merely
// missing, unexpected or misshapen is in the result, whose pointers point into `stored`.
WanMatch match_wan(std::span<const StoredTensor> stored, const std::optional<ConfigText>& config,
                   std::string_view where);

// One Error that names the first few of each kind of finding.
void require_complete(const WanMatch& match, std::string_view where);

// config.json of the checkpoint's folder, if it is there.
std::optional<ConfigText> read_config(const Checkpoint& file);

// Safe to read from several threads. As a WeightSource it goes by official names.
class WanCheckpoint : public WeightSource {
 public:
  const WanGeometry& geometry() const { return match_.geometry; }
  Naming naming() const { return match_.naming; }
  const std::vector<WanTensor>& tensors() const { return match_.tensors; }  // all, in official order
  const Checkpoint& file() const { return file_; }
  const WanTensor* find(std::string_view official) const;  // null if the transformer has no such tensor

  bool has(std::string_view tensor) const override { return find(tensor) != nullptr; }
  Shape shape(std::string_view tensor) const override { return at(tensor).spec.shape; }
  DType dtype(std::string_view tensor) const override { return at(tensor).stored->dtype; }
  Tensor load(std::string_view tensor) const override { return file_.load(*at(tensor).stored); }
  bool reads_rows(std::string_view tensor) const override { return at(tensor).stored->strides.empty(); }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override {
    return file_.load_rows(*at(tensor).stored, first, count);
  }

 private:
  friend WanCheckpoint open_wan(Checkpoint file, const Path& path);
  const WanTensor& at(std::string_view official) const;

  Checkpoint file_;
  WanMatch match_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Opens what Checkpoint::open opens. Error if it is not a complete float Wan2.1 transformer.
WanCheckpoint open_wan(const Path& path);
// The same of what was opened there.
WanCheckpoint open_wan(Checkpoint file, const Path& path);

}  // namespace wanslim
