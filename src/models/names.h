// SPDX-License-Identifier: Apache-2.0
// Which tensors a Wan2.1 transformer has: official names and shapes as data. Source: spec wan-forward A2.
// Other spellings of the names: config/wan_names.h.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/wan_names.h"
#include "config/wan_variants.h"
#include "tensor/shape.h"

namespace wanslim {

// What a tensor does in its module.
enum class TensorRole : uint8_t {
  kLinearWeight,  // [out, in]
  kLinearBias,
  kConvWeight,  // [out, in, 1, 2, 2]
  kConvBias,
  kNormWeight,
  kNormBias,
  kModulation,  // [1, 6, dim] of a block, [1, 2, dim] of the head
  kPosition,    // img_emb.emb_pos
  kEmbedding,   // a table of rows: tokens, relative positions of the text encoder
};

struct TensorSpec {
  std::string name;   // "blocks.3.ffn.0.weight"
  Shape shape;        // [out, in] for weights
  std::string layer;  // path of the module that owns it: "blocks.3.ffn.0"; "blocks.3" for its modulation
  TensorRole role = TensorRole::kLinearWeight;
  std::string unit;    // "blocks.3" or "vace_blocks.0"; empty for the modules outside the blocks
  int64_t block = -1;  // number within blocks or vace_blocks
  bool vace = false;   // in vace_blocks

  bool in_block() const { return block >= 0; }
  bool is_linear_weight() const { return role == TensorRole::kLinearWeight; }
  bool is_linear() const { return role == TensorRole::kLinearWeight || role == TensorRole::kLinearBias; }
};

// Every tensor of the transformer: block by block (blocks, then vace_blocks), each in the order of PyTorch's
// named_modules with own parameters first, then the modules outside the blocks. This is the order of the
// reference's description file.
std::vector<TensorSpec> tensor_specs(const WanGeometry& geometry);

}  // namespace wanslim
