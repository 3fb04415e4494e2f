// SPDX-License-Identifier: Apache-2.0
// compressed-tensors, as the Python package of that name and vLLM read it, in a diffusers folder. Learned
// from the package 0.20.0; docs/formats/compressed-tensors.md.
//
//   int-quantized, float-quantized, naive-quantized
//     P.weight I8 or F8_E4M3 [out, in] | P.weight_scale F32
//   pack-quantized
//     P.weight_packed I32 [out, in * bits / 32], codes + 2^(bits - 1), the first in the lowest bits
//     P.weight_shape I64 [2] | P.weight_scale F32
//   scales [out, 1] per channel, [out, in / group] in groups, [1] per tensor | P.bias BF16 | floats as in
//   diffusers.h
//   config.json  "quantization_config": {"quant_method": "compressed-tensors", "format": ...,
//     "config_groups": {"group_0": {"targets", "weights", "input_activations", "format"}}, "ignore": [...]}
#pragma once
#include "formats/diffusers.h"

namespace wanslim {

Format compressed_tensors_format();

// One of "config_groups".
struct CtGroup {
  QuantScheme scheme;
  bool all = false;                    // "Linear": every one that is not ignored
  std::set<std::string> targets = {};  // else these, diffusers names
};
// The "format" of a scheme; empty if none of them holds it.
std::string_view ct_format(const QuantScheme& scheme);
Json ct_group_json(const CtGroup& group);

struct CtConfig {
  std::vector<CtGroup> groups;
  std::set<std::string> ignore;
  // The group that takes the module; null: it stays float.
  const CtGroup* group_of(const std::string& module) const;
};
// Error for what is no such config and for what is not read here: patterns, block scales, offsets.
CtConfig parse_ct_config(const Json& quantization, std::string_view where);

// The tensors of a quantized Linear without its bias; `name` as stored.
std::vector<OutTensor> ct_tensors(const std::string& name, const QuantScheme& scheme, int64_t out,
                                  int64_t in);
int64_t ct_bits(const QuantScheme& scheme);

VerifyReport verify_compressed_tensors(const Path& folder);
std::unique_ptr<WeightSource> read_compressed_tensors(const Path& folder);

}  // namespace wanslim
