// SPDX-License-Identifier: Apache-2.0
// Output formats: what a runtime loads, as data and pure functions, one row each in formats.cc. A format says
// which tensors a layer becomes and what their bytes are; where the bytes go, resume, checksums and the
// manifest are the same for all and live in writer.h.
//
//   plan (shapes only) -> FormatWriter lays out the files -> encode (values) per layer -> sidecars -> commit
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "config/model_part.h"
#include "config/recipe.h"
#include "config/umt5_naming.h"
#include "config/vocabulary.h"
#include "config/wan_variants.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "tensor/layer_plan.h"
#include "tensor/weight_source.h"

namespace wanslim {

// What is written, known whole before the first weight is read.
struct FormatJob {
  ModelPart part = ModelPart::kTransformer;
  WanGeometry geometry;            // of a transformer
  std::string encoder = {};        // "umt5-xxl", "clip-vit-h-14"
  Umt5Geometry text_encoder = {};  // of a text encoder
  std::vector<LayerPlan> layers;   // official order
  Numerics numerics = Numerics::kPrecise;
  bool slim = false;                                // leave out float tensors that the runtime never reads
  std::map<std::string, std::string> options = {};  // of Format::options, where not the default
  uint64_t shard_bytes = 0;  // weights are split into files of about this size; 0: one file
  // Of a text encoder, for formats that carry it.
  std::shared_ptr<const Vocabulary> vocabulary = {};

  bool chosen(const std::string& option, std::string_view value) const {
    const auto found = options.find(option);
    return found != options.end() && found->second == value;
  }
};

// A choice that a format leaves to the user: --format_option name=value.
struct FormatOption {
  std::string_view name;
  std::vector<std::string_view> choices;  // the first one is the default
  std::string_view help;
};

// One tensor of the output. `type` is what the description says of it, for formats that have one.
struct OutTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::string type = {};
  size_t file = 0;  // index into the layout
};

// The bytes of an OutTensor: a tensor of the layer as it is, or one made for the format.
struct Encoded {
  const Tensor* borrowed = nullptr;
  Tensor owned = {};
  std::span<const std::byte> raw() const { return borrowed ? borrowed->raw() : owned.raw(); }
};
inline Encoded borrow(const Tensor& tensor) {
  return {.borrowed = &tensor};
}
inline Encoded own(Tensor tensor) {
  return {.borrowed = nullptr, .owned = std::move(tensor)};
}

// Where the bytes of one tensor lie.
struct TensorPlace {
  std::string name;
  uint64_t offset = 0, bytes = 0;
};

// A file of the output, whatever its container: `head` stands at 0, the tensors lie at their places without
// overlap; what no tensor covers is zero. `places` are in the order of the file.
struct FileLayout {
  std::string name;
  std::string head;
  std::vector<TensorPlace> places;
  uint64_t file_bytes = 0;
};

// A safetensors file of those of the tensors whose `file` is this one.
FileLayout safetensors_file(std::string name, const std::vector<OutTensor>& tensors, size_t file = 0,
                            const std::map<std::string, std::string>& metadata = {});

struct Sidecar {
  std::string name, text;
};

struct VerifyReport {
  std::vector<std::string> problems;  // the runtime would refuse or misread; empty: fine
  std::vector<std::string> checked;   // what was looked at, one line each
  bool ok() const { return problems.empty(); }
};

struct Format {
  std::string_view name, summary;
  // May this scheme be written? Asked while planning; *why says what the runtime would do with it.
  bool (*supports)(const QuantScheme& scheme, std::string* why);
  // What concerns the whole job (a format that wants every block Linear quantized). Error if it cannot be
  // written.
  void (*check)(const FormatJob& job);
  // Output tensors of one layer, in the order of the description; empty if the format leaves it out. A layer
  // that stays float becomes one F32, F16 or BF16 tensor for each of LayerPlan::tensors(), in that order and
  // with as many elements: its values are rounded to that dtype.
  std::vector<OutTensor> (*plan)(const LayerPlan& layer, const FormatJob& job);
  // The values of a quantized layer, in the order of plan(). What is borrowed lives as long as `linear`.
  std::vector<Encoded> (*encode)(const LayerPlan& layer, const QuantizedLinear& linear, const FormatJob& job);
  std::vector<FileLayout> (*layout)(const std::vector<OutTensor>& tensors, const FormatJob& job);
  // Small files beside the weights. The last one is renamed into place last of all.
  std::vector<Sidecar> (*sidecars)(const std::vector<OutTensor>& tensors, const FormatJob& job);
  // Is this a folder (or file) of the format?
  bool (*recognizes)(const Path& path);
  // Looks at it as the runtime does.
  VerifyReport (*verify)(const Path& path);
  // The weights under official names.
  std::unique_ptr<WeightSource> (*read)(const Path& path);

  std::vector<FormatOption> options = {};
  std::vector<ModelPart> parts = {ModelPart::kTransformer};  // that its runtime loads
  bool carries_vocabulary = false;                           // FormatJob::vocabulary, of a text encoder
  bool slims = false;     // takes FormatJob::slim: its runtime loads the float checkpoint too
  bool rotates = false;   // takes LayerPlan::hadamard_group
  bool branches = false;  // takes LayerPlan::low_rank
  bool shards = false;    // takes FormatJob::shard_bytes
  // Wants every Linear of the blocks quantized but those that match `keeps_float`: a built-in practice is
  // widened so, a recipe of the user is held against check().
  bool needs_all_linears = false;
  // Layers that its runtime never quantizes: a built-in practice leaves them out.
  std::vector<std::string_view> keeps_float = {};
  // Small files of the model's folder that go along, by their endings.
  std::vector<std::string_view> copies = {};
};

std::span<const Format> formats();
// Error of kind kUsage with the nearest spelling.
const Format& find_format(std::string_view name);
std::string format_names();  // "mindie, ascendv1, ..."
// The format that recognizes `path`, or Error.
const Format& recognize_format(const Path& path);

// Error of kind kUsage if the format's runtime loads no such model.
void check_part(const Format& format, ModelPart part);
// check_part, and Error if the format cannot hold one of the layers, naming layer, scheme and reason.
void check_supported(const Format& format, const FormatJob& job);

}  // namespace wanslim
