// SPDX-License-Identifier: Apache-2.0
// LoRA files merged into the float weights of a Wan transformer, tensor by tensor.
//
//   const LoraFile file = parse_lora_argument("style.safetensors:0.8");
//   LoraSet loras = LoraSet::open({&file, 1}, tensor_specs(geometry));
//   for (const UnmatchedKey& key : loras.unmatched()) ...           // keys of no tensor of this model
//   if (loras.touches(name)) loras.apply(name, weight_f32);
//
// What a key changes, with s = strength:
//   lora_down/up, lora_A/B  W += s * (alpha / rank) * up * down; without alpha the factor is 1
//   dora_scale, lora_magnitude_vector
//                           W += s * (m * V / |V| - W), V = W + (alpha / rank) * up * down, |V| per output
//                           row, or per input column for m of shape [1, in] (arXiv 2402.09353)
//   diff, diff_b, diff_m    weight, bias or modulation += s * diff   (also w_norm, b_norm)
// Names: official ("diffusion_model.blocks.0.self_attn.q"), diffusers and PEFT
// ("transformer.blocks.0.attn1.to_q"), kohya ("lora_unet_blocks_0_self_attn_q"). alpha: the file's tensor,
// else for PEFT's lora_A and lora_B what lora_config.h finds. Only the tensors of one layer are in memory at
// a time; same bits for any number of threads and SIMD target.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "models/names.h"
#include "tensor/weight_source.h"

namespace wanslim {

struct LoraFile {
  Path path;
  double strength = 1;
};

// "FILE" or "FILE:STRENGTH". Error of kind kUsage if the strength is no finite number.
LoraFile parse_lora_argument(std::string_view text);

struct UnmatchedKey {
  Path file;
  std::string key;
};

// What one file holds for the model.
struct LoraContents {
  size_t keys = 0;  // tensors in the file, whether they match or not
  size_t pairs = 0, magnitudes = 0, differences = 0;
  int64_t least_rank = 0, most_rank = 0;
  size_t alphas = 0;        // pairs with an alpha of their own
  std::string config = {};  // where the alpha of the other pairs comes from; empty: their factor is 1
};
// "400 low-rank updates (rank 32, alpha in the file), 81 differences"
std::string to_string(const LoraContents& contents);

// Does it hold an adapter of any kind rather than a model?
bool is_adapter(const Checkpoint& checkpoint);

class LoraSet {
 public:
  LoraSet() = default;
  // `model` are the tensors of the transformer under official names. Error naming file and key if a shape
  // does not fit, a part is missing, the kind of adapter is another (LoKr, LoHa, OFT, ...), or no key at all
  // matches.
  static LoraSet open(std::span<const LoraFile> files, std::span<const TensorSpec> model);

  bool empty() const { return patches_.empty(); }
  size_t tensors() const { return patches_.size(); }  // that are changed
  bool touches(std::string_view tensor) const { return patches_.contains(tensor); }
  const std::vector<UnmatchedKey>& unmatched() const { return unmatched_; }
  const std::vector<LoraContents>& contents() const { return contents_; }  // beside files()

  // Adds what the files have for the tensor, in their order. `weight` is F32 with the model's shape. Error if
  // a value of a file is not finite. Safe to call from several threads.
  void apply(std::string_view tensor, Tensor& weight) const;
  // Bytes that merging into the tensor takes beside the stored tensor; 0 if it is not touched.
  uint64_t memory(std::string_view tensor) const;

  // Error if a file was written to since it was opened.
  void check_unchanged() const;
  // The files as they were opened, in order, with their strengths: what identifies a run.
  const std::vector<LoraFile>& files() const { return files_; }
  const std::vector<Checkpoint>& checkpoints() const { return checkpoints_; }

 private:
  // What one file does to one tensor.
  struct Patch {
    size_t file = 0;
    const StoredTensor *down = nullptr, *up = nullptr, *magnitude = nullptr, *diff = nullptr;
    double scale = 1;       // alpha / rank
    uint64_t elements = 0;  // of the weight
  };
  class Reader;
  std::vector<float> load(const Patch& patch, const StoredTensor& tensor) const;
  void apply_patch(const Patch& patch, Tensor& weight) const;

  std::vector<LoraFile> files_;
  std::vector<Checkpoint> checkpoints_;
  std::map<std::string, std::vector<Patch>, std::less<>> patches_;
  std::vector<UnmatchedKey> unmatched_;
  std::vector<LoraContents> contents_;
};

// Weights with LoRAs merged: what they touch is F32, the rest as it is. Both outlive this.
class LoraSource : public WeightSource {
 public:
  LoraSource(const WeightSource& weights, const LoraSet& loras) : weights_(weights), loras_(loras) {}
  bool has(std::string_view tensor) const override { return weights_.has(tensor); }
  Shape shape(std::string_view tensor) const override { return weights_.shape(tensor); }
  DType dtype(std::string_view tensor) const override {
    return loras_.touches(tensor) ? DType::kF32 : weights_.dtype(tensor);
  }
  Tensor load(std::string_view tensor) const override;
  bool reads_rows(std::string_view tensor) const override {
    return !loras_.touches(tensor) && weights_.reads_rows(tensor);
  }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override;

 private:
  const WeightSource& weights_;
  const LoraSet& loras_;
};

}  // namespace wanslim
