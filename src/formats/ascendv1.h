// SPDX-License-Identifier: Apache-2.0
// AscendV1: what msModelSlim's ascendv1_saver writes and loaders on Ascend NPUs read. Spec: msmodelslim 5.2
// and 4.7; docs/formats/ascendv1.md.
//
//   quant_model_weights.safetensors, or -00001-of-0000N and an index
//     L.weight and L.weight_scale as in tensor/quantized.h, but
//       W4A16 I8 [out, in / 2] per channel, [out / 2, in] in groups; W4A8_DYNAMIC I8 [out / 2, in]
//     L.weight_offset F32, zeros, as large as the scale (integers and FP8)
//     L.scale_bias F32 (W4A8_DYNAMIC): 8 x the sum of each row of the dequantized weight, [out, 1]; compat:
//     the
//       dequantized weight itself, as the reference does for names that are not those of a language model
//     L.svd_lowrank_l1, L.svd_lowrank_l2 (low_rank.h) of a layer with a low-rank branch, whose types say SVD
//     L.weight_dual_scale F32 [out, in / 512, 1] (dual-scale MXFP4) | L.bias F32 [out]
//     float tensors under their own names, BF16
//   quant_model_description.json  {tensor name: type or "FLOAT", ..., "version", "model_quant_type",
//     "metadata", "group_size", "optional"}
#pragma once
#include "formats/format.h"

namespace wanslim {

Format ascendv1_format();

inline constexpr std::string_view kAscendV1Stem = "quant_model_weights";
inline constexpr std::string_view kAscendV1Description = "quant_model_description.json";

// One type string and what its tensors are; shared by writer, reader and verifier.
struct AscendV1Type {
  std::string_view type;
  Encoding weight, activation;
  // How two codes share a byte: not at all, along rows, along columns; kAsGrouped: per channel along rows, in
  // groups along columns.
  enum class Packing : uint8_t { kNone, kRows, kColumns, kAsGrouped } packing = Packing::kNone;
  bool has_offset = false, has_scale_bias = false, has_dual = false;
};
std::span<const AscendV1Type> ascendv1_types();  // rising priority for "model_quant_type"
const AscendV1Type* find_ascendv1_type(std::string_view type);

// The tensors of a quantized Linear without its bias.
std::vector<OutTensor> ascendv1_tensors(const std::string& layer, const AscendV1Type& type,
                                        const QuantScheme& scheme, int64_t out, int64_t in, bool whole_bias);

VerifyReport verify_ascendv1(const Path& folder);
std::unique_ptr<WeightSource> read_ascendv1(const Path& folder);
bool recognizes_ascendv1(const Path& folder);

}  // namespace wanslim
