// SPDX-License-Identifier: Apache-2.0
#include "config/umt5_naming.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace wanslim {
namespace {

// By Umt5Naming.
struct Row {
  std::string_view names[3];
};

constexpr Row kOutside[] = {
    {{"token_embedding", "shared", "token_embd"}},
    {{"norm", "encoder.final_layer_norm", "enc.output_norm"}},
};

constexpr std::string_view kBlocks[] = {"blocks.", "encoder.block.", "enc.blk."};

// Behind "blocks.N.".
constexpr Row kBlock[] = {
    {{"norm1", "layer.0.layer_norm", "attn_norm"}},
    {{"attn.q", "layer.0.SelfAttention.q", "attn_q"}},
    {{"attn.k", "layer.0.SelfAttention.k", "attn_k"}},
    {{"attn.v", "layer.0.SelfAttention.v", "attn_v"}},
    {{"attn.o", "layer.0.SelfAttention.o", "attn_o"}},
    {{"norm2", "layer.1.layer_norm", "ffn_norm"}},
    {{"ffn.gate.0", "layer.1.DenseReluDense.wi_0", "ffn_gate"}},
    {{"ffn.fc1", "layer.1.DenseReluDense.wi_1", "ffn_up"}},
    {{"ffn.fc2", "layer.1.DenseReluDense.wo", "ffn_down"}},
    {{"pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"}},
};

std::optional<std::string> rename(std::string_view name, size_t from, size_t to) {
  std::string prefix;
  std::string_view rest = name;
  const bool in_block = name.starts_with(kBlocks[from]);
  if (in_block) {
    rest.remove_prefix(kBlocks[from].size());
    const size_t dot = rest.find('.');
    const std::string_view number = rest.substr(0, dot);
    const bool digits =
        std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (dot == std::string_view::npos || number.empty() || number.size() > 6 || !digits) return std::nullopt;
    prefix = fmt::format("{}{}.", kBlocks[to], number);
    rest.remove_prefix(dot + 1);
  }
  const std::span<const Row> rows = in_block ? std::span<const Row>(kBlock) : std::span<const Row>(kOutside);
  for (const Row& row : rows) {
    const std::string_view module = row.names[from];
    if (rest == module || (rest.starts_with(module) && rest[module.size()] == '.'))
      return fmt::format("{}{}{}", prefix, row.names[to], rest.substr(module.size()));
  }
  return std::nullopt;
}

}  // namespace

std::string umt5_variant(const Umt5Geometry& geometry) {
  return geometry == kUmt5Xxl ? "umt5-xxl" : "umt5-custom";
}

std::optional<std::string> umt5_official_name(Umt5Naming naming, std::string_view name) {
  return rename(name, static_cast<size_t>(naming), 0);
}

std::optional<std::string> umt5_name_in(Umt5Naming naming, std::string_view official) {
  return rename(official, 0, static_cast<size_t>(naming));
}

}  // namespace wanslim
