// SPDX-License-Identifier: Apache-2.0
#include "models/synth_parts.h"

#include <fmt/format.h>

#include <set>

#include "base/json.h"
#include "config/wan_tasks.h"
#include "models/clip_names.h"
#include "models/tensor_lists.h"
#include "models/text_unicode.h"
#include "models/umt5_names.h"

namespace wanslim {
namespace {

constexpr int64_t kPublishedVae = 96, kSmallVae = 8;

Umt5Geometry text_geometry(int64_t dim) {
  if (dim == kUmt5Xxl.dim) return kUmt5Xxl;
  return {.vocabulary = 1024,
          .dim = dim,
          .attention_dim = 64,
          .ffn_dim = 2 * dim,
          .heads = 1,
          .layers = 2,
          .buckets = 32};
}

// A head of CLIP is 80 wide, so only multiples of that can be a width.
ClipGeometry clip_geometry_of(int64_t dim) {
  if (dim == kClipVitH14.dim) return kClipVitH14;
  return {.dim = dim, .mlp_dim = 2 * dim, .layers = 2, .patch = 14, .tokens = 257, .out_dim = 0};
}

std::vector<TensorSpec> vae_specs(int64_t dim, int64_t channels) {
  std::vector<TensorSpec> out;
  for (NamedShape& t : vae_tensors(dim, channels)) {
    TensorSpec spec{.name = t.name,
                    .shape = std::move(t.shape),
                    .layer = t.name.substr(0, t.name.rfind('.')),
                    .role = TensorRole::kConvWeight,
                    .unit = ""};
    if (spec.name.ends_with(".gamma")) spec.role = TensorRole::kNormWeight;
    if (spec.name.ends_with(".bias")) spec.role = TensorRole::kConvBias;
    out.push_back(std::move(spec));
  }
  return out;
}

// Rarer pieces have lower scores; the sum of the letters of a word stays below the score of the word.
constexpr double kLetter = -6, kByte = -12, kWord = -8;

void add_pieces(Json& vocab) {
  const auto add = [&](const std::string& text, double score) { vocab.push_back({text, score}); };
  for (const char* special : {"<pad>", "</s>", "<s>", "<unk>"}) add(special, 0);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), kByte);
  add("\u2581", kLetter);
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c), kLetter);
  for (const char* word :
       {"a",   "the",   "of",  "in",   "on",    "and",   "with",  "is",  "cat",   "dog",
        "man", "woman", "sea", "city", "night", "light", "white", "red", "walks", "plays"}) {
    add("\u2581" + std::string(word), kWord);
  }
  std::string official(kNegativePrompt);
  for (const WanTask& task : wan_tasks()) official += task.negative_prefix;
  std::set<char32_t> seen;
  for (char32_t c : decode_utf8(official)) {
    if (c > '~' && seen.insert(c).second) add(encode_utf8(std::u32string(1, c)), kLetter);
  }
}

}  // namespace

std::vector<SynthPart> synth_parts(const WanGeometry& g) {
  std::vector<SynthPart> parts;
  const Umt5Geometry text = text_geometry(g.text_dim);
  parts.push_back({"models_t5_umt5-xxl-enc-bf16.safetensors", DType::kBF16, umt5_tensor_specs(text)});
  const int64_t vae = text == kUmt5Xxl ? kPublishedVae : kSmallVae;
  parts.push_back({"Wan2.1_VAE.safetensors", DType::kF32, vae_specs(vae, g.out_dim)});
  if (g.has_image_condition) {
    parts.push_back(
        {"models_clip.safetensors", DType::kF32, clip_tensor_specs(clip_geometry_of(g.image_dim))});
  }
  return parts;
}

std::string synth_tokenizer_text() {
  const auto special = [](int id, const char* text) {
    return Json{{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  const Json mark = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}, {"split", true}};
  const Json end = {{"id", "</s>"}, {"type_id", 0}}, text = {{"id", "A"}, {"type_id", 0}};
  Json j;
  j["version"] = "1.0";
  j["added_tokens"] = {special(0, "<pad>"), special(1, "</s>"), special(2, "<s>"), special(3, "<unk>")};
  j["normalizer"] = nullptr;
  j["pre_tokenizer"] = mark;
  j["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({Json{{"Sequence", text}}, Json{{"SpecialToken", end}}})},
      {"special_tokens",
       {{"</s>", {{"id", "</s>"}, {"ids", Json::array({1})}, {"tokens", Json::array({"</s>"})}}}}}};
  j["decoder"] = mark;
  Json vocab = Json::array();
  add_pieces(vocab);
  j["model"] = {{"type", "Unigram"}, {"unk_id", 3}, {"byte_fallback", true}, {"vocab", vocab}};
  return j.dump() + "\n";
}

}  // namespace wanslim
