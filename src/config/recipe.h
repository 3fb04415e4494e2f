// SPDX-License-Identifier: Apache-2.0
// A recipe: what the user asked for, as plain data. Comes from a built-in practice or from YAML
// (recipe_yaml.h). The protocol is msModelSlim's multimodal_sd_modelslim_v1; every field of it is here, also
// those that no step of this version runs: quant/plan refuses them by name before a weight is read, nothing
// is ignored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/place.h"
#include "tensor/quantized.h"

namespace wanslim {

// compat: bit for bit what msModelSlim 26.1 writes (bf16 weights, bf16 arithmetic).
// precise: float arithmetic from the checkpoint's own precision against scales that are bf16 values.
enum class Numerics : uint8_t { kPrecise, kCompat };

// `ext` of a qconfig: the union of what the methods read. A method's row in quant/methods.cc says which are
// its own.
struct MethodOptions {
  int step = 50;                                               // ssz: iterations
  double ceil_x_value = 7.25;                                  // ceil_x
  bool enable_search = false;                                  // ceil_x
  double search_min = 6, search_max = 12, search_step = 0.25;  // ceil_x
  int dual_block_size = 512;                                   // dualscale
  int group_size = 128;                                        // gptq, per_group
  double percdamp = 0.01;                                      // gptq
  int block_size = 128;                                        // gptq
  std::string aggregation_type = "max";                        // activation observers: max or mean
  int axes = -1;                                               // MX: only the last axis
  std::string energies = {};                                   // clip: file of input channel energies
  bool timestep = false;                                       // activation: one scale per denoising step
  std::vector<std::string> given = {};                         // keys that stood in the file
  bool operator==(const MethodOptions&) const = default;
};

// One side (activation or weight) of a qconfig.
struct SideConfig {
  Encoding encoding = Encoding::kFloat;
  Granularity granularity = Granularity::kTensor;
  std::string dtype = "float", scope = "per_tensor";  // as written
  std::string method = "none";
  bool symmetric = true;
  MethodOptions options = {};
  Place place = {};
  bool operator==(const SideConfig&) const = default;
};

// One entry of spec.process. `type` decides which fields count.
struct ProcessStep {
  std::string type = {};  // "linear_quant", "svd_res", ...
  Place place = {};
  // Patterns on official layer paths, see config/match.h. A null in the file means all: {"*"}.
  std::vector<std::string> include = {"*"}, exclude = {};
  // linear_quant, flex_awq_ssz, strategies of autoround_quant: both. awq: weight (weight_qconfig).
  // fa3_quant, dynamic_cache: activation (qconfig).
  SideConfig activation = {}, weight = {};
  std::vector<std::pair<std::string, SideConfig>> details = {};  // fa3_quant: fa_q, fa_k, fa_v
  int rank = 32;                                                 // svd_res
  int group_size = 256;                                          // convrot: a power of 4
  // group: its processors, run in one pass; autoround_quant: its strategies, of type "strategy".
  std::vector<ProcessStep> steps = {};
  // Further fields that stood in the file, checked, as (name, value as YAML on one line).
  std::vector<std::pair<std::string, std::string>> other = {};
  bool operator==(const ProcessStep&) const = default;
};

// One entry of spec.prior: steps that run before the main ones.
struct PriorStage {
  std::vector<ProcessStep> process = {};
  std::string dataset = {};  // empty: spec.dataset
  Place place = {};
  bool operator==(const PriorStage&) const = default;
};

// One entry of spec.save.
struct SaveStep {
  std::string type = {};       // "mindie_format_saver", "ascendv1_saver", ...
  int64_t part_file_size = 4;  // in 2^30 bytes, 0: one file. The reference's default.
  Place place = {};
  bool operator==(const SaveStep&) const = default;
};

struct DumpConfig {
  bool enable_dump = true;
  std::string capture_mode = "args";
  std::string dump_data_dir = {};  // empty: the output folder
  bool operator==(const DumpConfig&) const = default;
};

struct Recipe {
  std::string source = {};  // file name, or "built-in practice wan2_1_w8a8_dynamic"
  std::string text = {};    // the YAML text, for the copy in the output folder
  std::string apiversion = {};
  std::string config_id = "Unknown";
  double score = 100;
  std::vector<std::pair<std::string, std::string>> label = {};  // ("w_bit", "8"): values as YAML on one line
  std::vector<std::string> verified_model_types = {};
  std::vector<std::pair<std::string, std::vector<std::vector<std::string>>>> verified_tags = {};
  std::string runner = "layer_wise";
  std::vector<PriorStage> prior = {};
  std::vector<ProcessStep> process = {};
  std::vector<SaveStep> save = {};
  std::string dataset = "mix_calib.jsonl";
  std::optional<DumpConfig> dump = {};
  // multimodal_sd_config.inference_config or .model_config: (key, value as text), checked against the known
  // keys; nulls are left out. Booleans are "true" or "false".
  std::vector<std::pair<std::string, std::string>> inference = {};
  bool legacy_model_config = false;  // it stood under model_config
  // To be shown once: deprecated keys, unknown keys of spec, converted runner.
  std::vector<std::string> warnings = {};
  bool operator==(const Recipe&) const = default;
};

}  // namespace wanslim
