// SPDX-License-Identifier: Apache-2.0
#include "config/practices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <regex>

#include "base/error.h"
#include "base/spelling.h"
#include "config/protocol.h"

namespace wanslim {
namespace {

// Sides of a qconfig.
constexpr std::string_view kFloat = "{scope: per_tensor, dtype: float, symmetric: True, method: none}";
constexpr std::string_view kInt8PerToken = "{scope: per_token, dtype: int8, symmetric: True, method: minmax}";
constexpr std::string_view kInt4PerToken = "{scope: per_token, dtype: int4, symmetric: True, method: minmax}";
constexpr std::string_view kInt8 = "{scope: per_channel, dtype: int8, symmetric: True, method: minmax}";
constexpr std::string_view kInt4 = "{scope: per_channel, dtype: int4, symmetric: True, method: ssz}";
constexpr std::string_view kInt4Groups128 =
    "{scope: per_group, dtype: int4, symmetric: True, method: minmax, ext: {group_size: 128}}";
constexpr std::string_view kInt4Groups64 =
    "{scope: per_group, dtype: int4, symmetric: True, method: minmax, ext: {group_size: 64}}";
constexpr std::string_view kInt4Groups32 =
    "{scope: per_group, dtype: int4, symmetric: True, method: minmax, ext: {group_size: 32}}";
constexpr std::string_view kFp8PerToken =
    "{scope: per_token, dtype: fp8_e4m3, symmetric: True, method: minmax}";
constexpr std::string_view kFp8 = "{scope: per_channel, dtype: fp8_e4m3, symmetric: True, method: minmax}";
constexpr std::string_view kFp8Tensor =
    "{scope: per_tensor, dtype: fp8_e4m3, symmetric: True, method: minmax}";
constexpr std::string_view kMxFp8Act = "{scope: per_block, dtype: mxfp8, symmetric: True, method: minmax}";
constexpr std::string_view kMxFp8 = "{scope: per_block, dtype: mxfp8, symmetric: True, method: mse_round}";
constexpr std::string_view kMxFp4Act = "{scope: per_block, dtype: mxfp4, symmetric: True, method: minmax}";
constexpr std::string_view kMxFp4 =
    "{scope: per_block, dtype: mxfp4, symmetric: True, method: ceil_x, ext: {enable_search: True}}";
constexpr std::string_view kDual =
    "{scope: dual_scale, dtype: mxfp4, symmetric: True, method: dualscale, ext: {dual_block_size: 512}}";
constexpr std::string_view kNvFp4 = "{scope: per_block, dtype: nvfp4, symmetric: True, method: minmax}";
constexpr std::string_view kQ8_0 = "{scope: per_block, dtype: q8_0, symmetric: True, method: ggml}";
constexpr std::string_view kQ6_K = "{scope: per_block, dtype: q6_k, symmetric: True, method: ggml}";
constexpr std::string_view kQ5_K = "{scope: per_block, dtype: q5_k, symmetric: True, method: ggml}";
constexpr std::string_view kQ4_K = "{scope: per_block, dtype: q4_k, symmetric: True, method: ggml}";
constexpr std::string_view kQ4_0 = "{scope: per_block, dtype: q4_0, symmetric: True, method: ggml}";
constexpr std::string_view kQ3_K = "{scope: per_block, dtype: q3_k, symmetric: True, method: ggml}";
constexpr std::string_view kQ2_K = "{scope: per_block, dtype: q2_k, symmetric: True, method: ggml}";

// Layers. ffn.2 sees the largest outliers of a block's inputs: where activations become integers it stays
// float, as in the reference's recipe.
constexpr std::string_view kAll = "[\"*\"]", kNone = "[]", kFfn2 = "[\"*ffn.2*\"]";
constexpr std::string_view kFirstFive = "[\"blocks.{0..4}.*\"]";
constexpr std::string_view kFirstFiveAndFfn2 = "[\"blocks.{0..4}.*\", \"*ffn.2\"]";

constexpr std::string_view kMindie = "mindie_format_saver", kAscend = "ascendv1_saver";
constexpr std::string_view kComfy = "comfyui_saver", kGguf = "gguf_saver";

constexpr std::string_view kConvrot = "{type: convrot, group_size: 256, include: [\"*\"], exclude: []}";

// One linear_quant step.
struct Step {
  std::string_view act = {}, weight = {}, include = kAll, exclude = kNone;
};

struct Row {
  std::string_view name, quant_types;
  int w_bit, a_bit;
  std::string_view saver;
  Step first, second;  // second: absent if it has no qconfig
  std::string_view description;
  std::string_view before = {};  // a step without qconfig that precedes them, as YAML
};

// One practice a row; a name gets the prefix wan2_1_.
// clang-format off
constexpr Row kRows[] = {
    {"w8a8_dynamic", "w8a8 int8", 8, 8, kMindie, {kInt8PerToken, kInt8, kAll, kFfn2}, {},
     "int8, activations per token at run time; ffn.2 stays float. MindIE-SD, ComfyUI, LightX2V, vllm-omni"},
    {"w8a16", "w8a16", 8, 16, kMindie, {kFloat, kInt8}, {},
     "int8 weights per channel, float activations. MindIE-SD, ascendv1, compressed-tensors"},
    {"w4a16", "w4a16", 4, 16, kMindie, {kFloat, kInt4}, {},
     "int4 weights per channel, float activations. MindIE-SD, ascendv1, compressed-tensors"},
    {"w4a16_g128", "w4a16_g128", 4, 16, kAscend, {kFloat, kInt4Groups128}, {},
     "int4 weights in groups of 128, float activations. ascendv1, compressed-tensors; not MindIE-SD"},
    {"w4a16_g64", "w4a16_g64", 4, 16, kAscend, {kFloat, kInt4Groups64}, {},
     "int4 weights in groups of 64, float activations. ascendv1, compressed-tensors; not MindIE-SD"},
    {"w4a16_g32", "w4a16_g32", 4, 16, kAscend, {kFloat, kInt4Groups32}, {},
     "int4 weights in groups of 32, float activations. ascendv1, compressed-tensors; not MindIE-SD"},
    {"w4a8", "w4a8", 4, 8, kAscend, {kInt8PerToken, kInt4, kAll, kFfn2}, {},
     "int4 weights, int8 activations per token; ffn.2 stays float. ascendv1; not MindIE-SD"},
    {"w4a4", "w4a4", 4, 4, kMindie, {kInt4PerToken, kInt4, kAll, kFfn2}, {},
     "int4, activations per token at run time; ffn.2 stays float. MindIE-SD, which drops the biases"},
    {"w8a8_fp8", "w8a8f8 fp8 fp8_e4m3", 8, 8, kAscend, {kFp8PerToken, kFp8}, {},
     "FP8 e4m3 weights per channel, activations per token at run time. ascendv1, LightX2V"},
    {"fp8_scaled", "fp8_scaled", 8, 16, kComfy, {kFloat, kFp8Tensor}, {},
     "FP8 e4m3 weights per tensor, float activations. ComfyUI"},
    {"w8a8_convrot", "w8a8_convrot convrot", 8, 8, kComfy, {kInt8PerToken, kInt8}, {},
     "int8, inputs rotated in groups of 256 and scaled per token at run time, ffn.2 too. ComfyUI", kConvrot},
    {"mxfp8", "mxfp8 w8a8_mxfp8", 8, 8, kMindie, {kMxFp8Act, kMxFp8}, {},
     "FP8 in blocks of 32, weights rounded for least error. MindIE-SD on Atlas 350, ComfyUI"},
    {"mxfp4", "mxfp4 w4a4_mxfp4", 4, 4, kMindie, {kMxFp8Act, kMxFp8, kFirstFive}, {kMxFp4Act, kMxFp4},
     "FP4 in blocks of 32 with searched scales; blocks 0 to 4 in MXFP8. MindIE-SD on Atlas 350"},
    {"mxfp4_dualscale", "mxfp4_dualscale w4a4_mxfp4_dualscale", 4, 4, kMindie,
     {kMxFp8Act, kMxFp8, kFirstFiveAndFfn2}, {kDual, kDual},
     "FP4 in blocks of 32 and 512; ffn.2 and blocks 0 to 4 in MXFP8. MindIE-SD on Atlas 350"},
    {"nvfp4", "nvfp4", 4, 4, kComfy, {kNvFp4, kNvFp4}, {},
     "FP4 in blocks of 16 with FP8 scales, for NVIDIA Blackwell. ComfyUI"},
    {"q8_0", "q8_0", 8, 16, kGguf, {kFloat, kQ8_0}, {},
     "ggml Q8_0, 8.5 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q6_k", "q6_k", 6, 16, kGguf, {kFloat, kQ6_K}, {},
     "ggml Q6_K, 6.6 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q5_k", "q5_k", 5, 16, kGguf, {kFloat, kQ5_K}, {},
     "ggml Q5_K, 5.5 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q4_k", "q4_k", 4, 16, kGguf, {kFloat, kQ4_K}, {},
     "ggml Q4_K, 4.5 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q4_0", "q4_0", 4, 16, kGguf, {kFloat, kQ4_0}, {},
     "ggml Q4_0, 4.5 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q3_k", "q3_k", 3, 16, kGguf, {kFloat, kQ3_K}, {},
     "ggml Q3_K, 3.4 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
    {"q2_k", "q2_k", 2, 16, kGguf, {kFloat, kQ2_K}, {},
     "ggml Q2_K, 2.6 bits per weight. GGUF: ComfyUI-GGUF, LightX2V, sd.cpp"},
};
// clang-format on

// Types of the reference that have no row, and why.
struct AbsentRow {
  std::string_view name, reason;
};
constexpr std::string_view kCache =
    "c8 quantizes a key-value cache, which a video diffusion model does not have";
constexpr std::string_view kAttention =
    "it quantizes attention too; give a recipe with fa3_quant by --config_path";
constexpr std::string_view kSparse = "s makes weights sparse, which no runtime of Wan executes";
constexpr AbsentRow kAbsent[] = {
    {"w4a4c8", kCache},     {"w4a8c8", kCache}, {"w8a8c8", kCache},   {"w4a4f8", kAttention},
    {"w4a4f4", kAttention}, {"w8a8s", kSparse}, {"w16a16s", kSparse},
};

constexpr std::string_view kPrompt =
    "A stylish woman walks down a Tokyo street filled with warm glowing neon and animated city signage. "
    "She wears a black leather jacket, a long red dress, and black boots, and carries a black purse. "
    "She wears sunglasses and red lipstick. She walks confidently and casually. "
    "The street is damp and reflective, creating a mirror effect of the colorful lights. "
    "Many pedestrians walk about.";

// The reference's own practice: no enable_dump, and model_config where inference_config stands today. Its
// best practice file in the output folder is the same text only if all of that stays.
std::string yaml_of(const Row& row) {
  const bool is_reference = row.name == "w8a8_dynamic";
  const std::string_view type = row.quant_types.substr(0, row.quant_types.find(' '));
  const bool names_attention = type.size() > 2 && type.substr(type.size() - 2) == "f8";
  std::string out = fmt::format(
      "apiversion: multimodal_sd_modelslim_v1\n"
      "metadata:\n"
      "  config_id: wan2_1_{}\n"
      "  score: {}\n"
      "  verified_model_types: [Wan2_1, Wan2.1]\n"
      "  label: {{w_bit: {}, a_bit: {}, is_sparse: False, kv_cache: False{}}}\n\n"
      "# {}\n"
      "spec:\n"
      "  process:\n",
      row.name, is_reference ? "0.95" : "0.9", row.w_bit, row.a_bit,
      names_attention ? ", fa_quant: True, fa_bit: 8" : "", row.description);
  if (!row.before.empty()) out += fmt::format("    - {}\n", row.before);
  for (const Step& step : {row.first, row.second}) {
    if (step.weight.empty()) continue;
    out += fmt::format(
        "    - type: linear_quant\n"
        "      qconfig:\n"
        "        act: {}\n"
        "        weight: {}\n"
        "      include: {}\n"
        "      exclude: {}\n",
        step.act, step.weight, step.include, step.exclude);
  }
  return out + fmt::format(
                   "\n  save:\n"
                   "    - type: {}\n"
                   "      part_file_size: 0   # one file\n\n"
                   "  multimodal_sd_config:\n"
                   "    dump_config:\n{}"
                   "      capture_mode: args\n"
                   "      dump_data_dir: \"\"\n"
                   "    {}:\n"
                   "      prompt: \"{}\"\n"
                   "      offload_model: True\n"
                   "      frame_num: 121\n",
                   row.saver, is_reference ? "" : "      enable_dump: False   # no step needs data\n",
                   is_reference ? "model_config" : "inference_config", kPrompt);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::vector<Practice> make_practices() {
  std::vector<Practice> out;
  for (const Row& row : kRows) {
    out.push_back({.name = fmt::format("wan2_1_{}", row.name),
                   .w_bit = row.w_bit,
                   .a_bit = row.a_bit,
                   .quant_types = protocol::split_words(row.quant_types),
                   .description = std::string(row.description),
                   .yaml = yaml_of(row)});
  }
  return out;
}

[[noreturn]] void refuse(std::string_view given, const std::string& type) {
  std::vector<std::string> known, offered;
  for (const Practice& practice : practices()) {
    offered.push_back(practice.quant_types.front());
    known.insert(known.end(), practice.quant_types.begin(), practice.quant_types.end());
    known.push_back(practice.name);
  }
  std::string reason = did_you_mean(type, known);
  if (std::regex_match(type, std::regex("w[0-9]+a[0-9]+(c8|f[48])?s?")))
    reason = " has no built-in practice" + reason;
  for (const AbsentRow& row : kAbsent) {
    if (row.name == type) reason = fmt::format(" has no built-in practice: {}", row.reason);
  }
  throw Error({.what = fmt::format("quant_type \"{}\"{}", printable(given.substr(0, 100)),
                                   reason.empty() || reason[1] == '-' ? " is unknown" + reason : reason),
               .hint = fmt::format("the types are {}; any other scheme can be given by --config_path",
                                   fmt::join(offered, ", ")),
               .kind = Error::Kind::kUsage});
}

}  // namespace

std::span<const Practice> practices() {
  static const std::vector<Practice> kPractices = make_practices();
  return kPractices;
}

const Practice& choose_practice(std::string_view quant_type) {
  const std::string type = lower(quant_type.substr(0, 200));
  for (const Practice& practice : practices()) {
    const auto& types = practice.quant_types;
    if (practice.name == type || std::find(types.begin(), types.end(), type) != types.end()) return practice;
  }
  refuse(quant_type, type);
}

}  // namespace wanslim
