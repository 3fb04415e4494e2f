// SPDX-License-Identifier: Apache-2.0
// What a quantization algorithm makes and an output format consumes: plain data, N algorithms + M formats.
#pragma once
#include <string>

#include "tensor/tensor.h"

namespace wanslim {

// How numbers are encoded. kFloat: left as they are.
enum class Encoding : uint8_t {
  kFloat,
  kInt8,
  kInt4,
  kFp8E4M3,
  kMxFp8,
  kMxFp4,
  kNvFp4,
  kQ8_0,
  kQ6_K,
  kQ5_K,
  kQ4_K,
  kQ4_0,
  kQ3_K,
  kQ2_K,  // ggml block formats
};

// Which elements share a scale. kHead and kPdMix (per token while decoding, static while prefilling) belong
// to the recipe protocol; no scheme of a Linear that is run here has them.
enum class Granularity : uint8_t { kTensor, kChannel, kGroup, kBlock, kToken, kDual, kHead, kPdMix };

// A scheme is data, never a class. `group` is the number of inputs that share a scale (kGroup, kBlock: 32 for
// MX).
struct QuantScheme {
  Encoding weight = Encoding::kFloat;
  Granularity weight_granularity = Granularity::kChannel;
  Encoding activation = Encoding::kFloat;
  Granularity activation_granularity = Granularity::kTensor;
  int group = 0;
  bool symmetric = true;  // of the activation; weights are symmetric in every scheme that a runtime executes
  bool operator==(const QuantScheme&) const = default;
};

// One Linear after quantization. Absent tensors are empty().
//   weight  kInt8, kInt4: I8 [out, in], int4 codes -8..7 unpacked
//           kFp8E4M3, kMxFp8: F8_E4M3 [out, in]
//           kMxFp4, kNvFp4: U8 [out, in/2], low nibble first; code = index in {0,.5,1,1.5,2,3,4,6} + 8 * sign
//           ggml formats: U8 [out, bytes per row], blocks as in ggml
//   scale   kChannel F32 [out, 1]; kTensor F32 [1]; kGroup F32 [out, in/group];
//           MX: U8 [out, in/32] exponent + 127; kNvFp4: F8_E4M3 [out, in/16]
//   value = code * scale (* dual or global scale); symmetric, so offset is all zeros where a format wants
//   one.
struct QuantizedLinear {
  std::string name = {};  // official layer path: "blocks.3.ffn.0"
  QuantScheme scheme = {};
  Tensor weight = {}, scale = {};
  Tensor bias = {};        // F32 [out], empty if the Linear has none
  Tensor dual_scale = {};  // F32 [out, in/512]: dual-scale MXFP4; F32 [1]: NVFP4's global scale
  Tensor act_scale = {};   // F32 [1] static, [T, 1] one row per timestep; empty: dynamic
  Tensor act_offset = {};  // F32, as act_scale
  Tensor smooth = {};      // F32 [in]: the runtime multiplies the input by it
  Tensor lora_down = {};   // [rank, in]: y += lora_up * (lora_down * x)
  Tensor lora_up = {};     // [out, rank]
  int hadamard_group = 0;  // the input is rotated by a regular Hadamard matrix in groups of this size; 0: not
};

// "W8A8_DYNAMIC", "W8A16", ...: the type string of MindIE-SD and msModelSlim; empty if they have none.
std::string ascend_type(const QuantScheme& scheme);

// Whether the tensors have the dtypes and shapes that the scheme says, so that their elements can be read
// without a further look. If not, *why says which. Asked for what comes from a file.
bool is_consistent(const QuantizedLinear& linear, std::string* why);

// Bytes of weight, scales and other per-layer tensors for [out, in], without the bias.
int64_t quantized_bytes(const QuantScheme& scheme, int64_t out, int64_t in);

}  // namespace wanslim
