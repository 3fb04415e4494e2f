// SPDX-License-Identifier: Apache-2.0
#include "formats/encoder_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/error.h"

namespace wanslim {
namespace {

struct Encoder {
  ModelPart part;
  std::string_view blocks;  // "blocks." before the number
  std::span<const std::string_view> outside, linears, others;
};

constexpr std::string_view kTextOutside[] = {"token_embedding.weight", "norm.weight"};
constexpr std::string_view kTextLinears[] = {"attn.q",     "attn.k",  "attn.v", "attn.o",
                                             "ffn.gate.0", "ffn.fc1", "ffn.fc2"};
constexpr std::string_view kTextOthers[] = {"norm1.weight", "norm2.weight", "pos_embedding.embedding.weight"};

constexpr std::string_view kImageOutside[] = {
    "visual.patch_embedding.weight", "visual.cls_embedding", "visual.pos_embedding",
    "visual.pre_norm.weight",        "visual.pre_norm.bias", "visual.post_norm.weight",
    "visual.post_norm.bias",         "visual.head",          "log_scale"};
constexpr std::string_view kImageLinears[] = {"attn.to_qkv", "attn.proj", "mlp.0", "mlp.2"};
constexpr std::string_view kImageOthers[] = {"norm1.weight", "norm1.bias",       "norm2.weight",
                                             "norm2.bias",   "attn.to_qkv.bias", "attn.proj.bias",
                                             "mlp.0.bias",   "mlp.2.bias"};

constexpr Encoder kEncoders[] = {
    {ModelPart::kTextEncoder, "blocks.", kTextOutside, kTextLinears, kTextOthers},
    {ModelPart::kImageEncoder, "visual.transformer.", kImageOutside, kImageLinears, kImageOthers},
};

const Encoder& encoder_of(ModelPart part) {
  const auto* row = std::find_if(std::begin(kEncoders), std::end(kEncoders),
                                 [&](const Encoder& e) { return e.part == part; });
  CHECK(row != std::end(kEncoders));
  return *row;
}

// The numbers of the blocks that the names show.
std::set<int64_t> blocks_of(const Encoder& encoder, const std::set<std::string>& names) {
  std::set<int64_t> out;
  for (const std::string& name : names) {
    if (!name.starts_with(encoder.blocks)) continue;
    const std::string digits =
        name.substr(encoder.blocks.size(), name.find('.', encoder.blocks.size()) - encoder.blocks.size());
    const bool number =
        !digits.empty() && digits.size() < 7 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number) out.insert(std::stoll(digits));
  }
  return out;
}

}  // namespace

void check_whole_encoder(ModelPart part, const std::set<std::string>& names, VerifyReport& report) {
  const Encoder& encoder = encoder_of(part);
  const auto need = [&](const std::string& name) {
    if (!names.count(name)) report.problems.push_back(name + " is missing");
  };
  for (const std::string_view name : encoder.outside) need(std::string(name));
  const std::set<int64_t> blocks = blocks_of(encoder, names);
  if (blocks.empty() || *blocks.rbegin() + 1 != static_cast<int64_t>(blocks.size()))
    report.problems.push_back(fmt::format("the encoder has {} blocks, the last of which is {}", blocks.size(),
                                          blocks.empty() ? -1 : *blocks.rbegin()));
  for (const int64_t block : blocks) {
    for (const std::string_view rest : encoder.linears)
      need(fmt::format("{}{}.{}.weight", encoder.blocks, block, rest));
    for (const std::string_view rest : encoder.others)
      need(fmt::format("{}{}.{}", encoder.blocks, block, rest));
  }
}

std::set<std::string> encoder_linears(ModelPart part, const std::set<std::string>& names) {
  const Encoder& encoder = encoder_of(part);
  std::set<std::string> out;
  for (const int64_t block : blocks_of(encoder, names)) {
    for (const std::string_view rest : encoder.linears) {
      const std::string layer = fmt::format("{}{}.{}", encoder.blocks, block, rest);
      if (names.count(layer + ".weight")) out.insert(layer);
    }
  }
  return out;
}

}  // namespace wanslim
