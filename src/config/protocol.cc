// SPDX-License-Identifier: Apache-2.0
#include "config/protocol.h"

namespace wanslim::protocol {
namespace {

using T = ValueType;

constexpr ApiVersionRow kApiVersions[] = {
    {"multimodal_sd_modelslim_v1", ""},
    {"modelslim_v0", "it is the older protocol for language models, with closed kernels"},
    {"modelslim_v1", "it is the protocol for language models"},
    {"modelslim_convert", "it converts files of other tools; use the convert command"},
    {"multimodal_vlm_modelslim_v1", "it is the protocol for vision language models"},
};

// nvfp4 and ggml's block formats are ours.
constexpr DtypeRow kDtypes[] = {
    {"float", Encoding::kFloat}, {"int8", Encoding::kInt8},   {"int4", Encoding::kInt4},
    {"mxfp8", Encoding::kMxFp8}, {"mxfp4", Encoding::kMxFp4}, {"fp8_e4m3", Encoding::kFp8E4M3},
    {"nvfp4", Encoding::kNvFp4}, {"q8_0", Encoding::kQ8_0},   {"q6_k", Encoding::kQ6_K},
    {"q5_k", Encoding::kQ5_K},   {"q4_k", Encoding::kQ4_K},   {"q4_0", Encoding::kQ4_0},
    {"q3_k", Encoding::kQ3_K},   {"q2_k", Encoding::kQ2_K},
};

constexpr ScopeRow kScopes[] = {
    {"per_tensor", Granularity::kTensor}, {"per_channel", Granularity::kChannel},
    {"per_group", Granularity::kGroup},   {"per_block", Granularity::kBlock},
    {"per_token", Granularity::kToken},   {"pd_mix", Granularity::kPdMix},
    {"per_head", Granularity::kHead},     {"dual_scale", Granularity::kDual},
};

// clip (search of the best clipping point) and ggml (as ggml rounds its block formats) are ours.
constexpr MethodRow kMethods[] = {
    {"none", true, false},     {"minmax", true, true},     {"histogram", true, false},
    {"dualscale", true, true}, {"ssz", false, true},       {"gptq", false, true},
    {"ceil_x", false, true},   {"mse_round", false, true}, {"fouroversix", false, true},
    {"clip", false, true},     {"ggml", false, true},
};

// group_size belongs to gptq, and to every method where the scope is per_group.
constexpr OptionRow kOptions[] = {
    {"step", "ssz", T::kInt, 1, 100000},
    {"ceil_x_value", "ceil_x", T::kReal, 6, 12},
    {"enable_search", "ceil_x", T::kBool},
    {"search_min", "ceil_x", T::kReal, 6, 12},
    {"search_max", "ceil_x", T::kReal, 6, 12},
    {"search_step", "ceil_x", T::kOpenReal, 0, 12},
    {"dual_block_size", "dualscale", T::kInt, 32, 65536},
    {"percdamp", "gptq", T::kOpenReal, 0, 100},
    {"block_size", "gptq", T::kInt, 1, 65536},
    {"group_size", "gptq", T::kInt, 1, 65536},
    {"aggregation_type", "minmax histogram", T::kWord, 0, 0, "max mean"},
    {"axes", "minmax ceil_x mse_round fouroversix dualscale", T::kInt, -1, -1},
    {"timestep", "minmax", T::kBool},
    {"energies", "clip", T::kString},
};

// convrot (inputs rotated at run time, as ComfyUI does) and rotate_vo (v and o rotated against each other)
// are ours.
constexpr ProcessorRow kProcessors[] = {
    {"linear_quant", PatternShape::kAll, QConfigShape::kPair},
    {"group", PatternShape::kNone, QConfigShape::kGroup},
    {"svd_res", PatternShape::kAll, QConfigShape::kNone},
    {"convrot", PatternShape::kAll, QConfigShape::kNone},
    {"rotate_vo", PatternShape::kAll, QConfigShape::kNone},
    {"iter_smooth", PatternShape::kOptional, QConfigShape::kNone},
    {"smooth_quant", PatternShape::kOptional, QConfigShape::kNone},
    {"flex_smooth_quant", PatternShape::kOptional, QConfigShape::kNone},
    {"flex_awq_ssz", PatternShape::kOptional, QConfigShape::kPair},
    {"awq", PatternShape::kOptional, QConfigShape::kWeight},
    {"kv_smooth", PatternShape::kAll, QConfigShape::kNone},
    {"quarot", PatternShape::kNone, QConfigShape::kNone},
    {"online_quarot", PatternShape::kOptional, QConfigShape::kNone},
    {"adapt_rotation", PatternShape::kNone, QConfigShape::kNone},
    {"flatquant", PatternShape::kAll, QConfigShape::kNone},
    {"autoround_quant", PatternShape::kNone, QConfigShape::kStrategies},
    {"fa3_quant", PatternShape::kAll, QConfigShape::kAttention},
    {"dynamic_cache", PatternShape::kEmpty, QConfigShape::kSide},
    {"float_sparse", PatternShape::kEmpty, QConfigShape::kNone},
};

constexpr std::string_view kSubgraphs = "norm-linear linear-linear ov up-down";
constexpr double kMaxBlock = 1 << 20;

constexpr FieldRow kFields[] = {
    {"svd_res", "rank", T::kInt, 1, 65536},
    {"convrot", "group_size", T::kPower4, 4, 65536},
    {"iter_smooth", "alpha", T::kUnit},
    {"iter_smooth", "scale_min", T::kUnit},
    {"iter_smooth", "symmetric", T::kBool},
    {"iter_smooth", "enable_subgraph_type", T::kWords, 0, 0, kSubgraphs},
    {"smooth_quant", "alpha", T::kUnit},
    {"smooth_quant", "symmetric", T::kBool},
    {"flex_smooth_quant", "alpha", T::kUnit},
    {"flex_smooth_quant", "beta", T::kUnit},
    {"flex_smooth_quant", "enable_subgraph_type", T::kWords, 0, 0, kSubgraphs},
    {"flex_awq_ssz", "alpha", T::kUnit},
    {"flex_awq_ssz", "beta", T::kUnit},
    {"flex_awq_ssz", "enable_subgraph_type", T::kWords, 0, 0, kSubgraphs},
    {"awq", "enable_subgraph_type", T::kWords, 0, 0, kSubgraphs},
    {"awq", "n_grid", T::kInt, 1, 100000},
    {"kv_smooth", "smooth_factor", T::kOpenReal, 0, 1e6},
    {"quarot", "online", T::kBool},
    {"quarot", "block_size", T::kPower2, -1, kMaxBlock},
    {"quarot", "down_proj_online_layers", T::kIndices},
    {"quarot", "max_tp_size", T::kPower2, 1, kMaxBlock},
    {"quarot", "export_extra_info", T::kBool},
    {"online_quarot", "block_size", T::kPower2, -1, kMaxBlock},
    {"adapt_rotation", "steps", T::kInt, 1, 1000, "", 1},
    {"adapt_rotation", "quant_dtype", T::kWord, 0, 0, "int4 int8", 1},
    {"adapt_rotation", "layer_type", T::kStrings, 1, 128, "", 1},
    {"adapt_rotation", "max_samples", T::kInt, 1, 100000, "", 1},
    {"adapt_rotation", "block_size", T::kPower2, -1, kMaxBlock},
    {"adapt_rotation", "online", T::kBool, 0, 0, "", 2},
    {"adapt_rotation", "down_proj_online_layers", T::kIndices, 0, 0, "", 2},
    {"adapt_rotation", "max_tp_size", T::kPower2, 1, 64, "", 2},
    {"flatquant", "strategies", T::kFixed, 0, 0, "[]"},
    {"flatquant", "seed", T::kFixed, 0, 0, "0"},
    {"flatquant", "diag_relu", T::kFixed, 0, 0, "true"},
    {"flatquant", "amp_dtype", T::kFixed, 0, 0, "bfloat16"},
    {"flatquant", "a_bits", T::kFixed, 0, 0, "4"},
    {"flatquant", "a_groupsize", T::kFixed, 0, 0, "-1"},
    {"flatquant", "a_asym", T::kFixed, 0, 0, "false"},
    {"flatquant", "a_per_tensor", T::kFixed, 0, 0, "false"},
    {"flatquant", "w_bits", T::kFixed, 0, 0, "4"},
    {"flatquant", "w_groupsize", T::kFixed, 0, 0, "-1"},
    {"flatquant", "w_asym", T::kFixed, 0, 0, "false"},
    {"flatquant", "epochs", T::kFixed, 0, 0, "10"},
    {"flatquant", "nsamples", T::kFixed, 0, 0, "null"},
    {"flatquant", "cali_bsz", T::kFixed, 0, 0, "4"},
    {"flatquant", "flat_lr", T::kFixed, 0, 0, "0.001"},
    {"flatquant", "add_diag", T::kFixed, 0, 0, "true"},
    {"flatquant", "lwc", T::kFixed, 0, 0, "true"},
    {"flatquant", "lac", T::kFixed, 0, 0, "true"},
    {"flatquant", "diag_init", T::kFixed, 0, 0, "one_style"},
    {"flatquant", "diag_alpha", T::kFixed, 0, 0, "0.3"},
    {"flatquant", "warmup", T::kFixed, 0, 0, "true"},
    {"flatquant", "deactive_amp", T::kFixed, 0, 0, "true"},
    {"flatquant", "tran_type", T::kFixed, 0, 0, "svd"},
    {"autoround_quant", "iters", T::kInt, 1, 1000000},
    {"autoround_quant", "enable_minmax_tuning", T::kBool},
    {"autoround_quant", "enable_round_tuning", T::kBool},
    {"float_sparse", "sparse_ratio", T::kReal, 0, 1},
};

// The first three are the reference's; the others name our own formats in its style.
constexpr SaverRow kSavers[] = {
    {"mindie_format_saver", "mindie"},
    {"ascendv1_saver", "ascendv1"},
    {"ascendv1_saver_distributed", "ascendv1"},
    {"lightx2v_saver", "lightx2v"},
    {"comfyui_saver", "comfyui"},
    {"universal_int8_saver", "universal-int8"},
    {"gguf_saver", "gguf"},
    {"compressed_tensors_saver", "compressed-tensors"},
    {"vllm_omni_saver", "vllm-omni"},
};

constexpr double kBig = 1e15;

// Whatever distributes the generation over devices has one possible value, as in the reference.
constexpr InferenceRow kInference[] = {
    {"task", T::kString},
    {"size", T::kString},
    {"frame_num", T::kInt, 1, 100000},
    {"ckpt_dir", T::kString},
    {"offload_model", T::kBool},
    {"cfg_size", T::kInt, 1, 1},
    {"ulysses_size", T::kInt, 1, 1},
    {"ring_size", T::kInt, 1, 1},
    {"tp_size", T::kInt, 1, 1024},
    {"vae_parallel", T::kFixed, 0, 0, "false"},
    {"t5_fsdp", T::kFixed, 0, 0, "false"},
    {"t5_cpu", T::kBool},
    {"dit_fsdp", T::kFixed, 0, 0, "false"},
    {"save_file", T::kString},
    {"prompt", T::kString},
    {"use_prompt_extend", T::kBool},
    {"prompt_extend_method", T::kWord, 0, 0, "dashscope local_qwen"},
    {"prompt_extend_model", T::kString},
    {"prompt_extend_target_lang", T::kWord, 0, 0, "zh en"},
    {"base_seed", T::kInt, -kBig, kBig},
    {"image", T::kString},
    {"sample_solver", T::kWord, 0, 0, "unipc dpm++"},
    {"sample_steps", T::kInt, 1, 100000},
    {"sample_shift", T::kReal, -kBig, kBig},
    {"sample_guide_scale", T::kReal, -kBig, kBig},
    {"use_attentioncache", T::kBool},
    {"attentioncache_ratio", T::kReal, -kBig, kBig},
    {"attentioncache_interval", T::kInt, -kBig, kBig},
    {"start_step", T::kInt, -kBig, kBig},
    {"end_step", T::kInt, -kBig, kBig},
};

}  // namespace

std::span<const ApiVersionRow> api_versions() {
  return kApiVersions;
}
std::span<const DtypeRow> dtypes() {
  return kDtypes;
}
std::span<const ScopeRow> scopes() {
  return kScopes;
}
std::span<const MethodRow> methods() {
  return kMethods;
}
std::span<const OptionRow> options() {
  return kOptions;
}
std::span<const ProcessorRow> processors() {
  return kProcessors;
}
std::span<const FieldRow> fields() {
  return kFields;
}
std::span<const SaverRow> savers() {
  return kSavers;
}
std::span<const InferenceRow> inference_keys() {
  return kInference;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = text.find(' ');
    if (end != 0) out.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

}  // namespace wanslim::protocol
