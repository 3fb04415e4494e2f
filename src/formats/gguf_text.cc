// SPDX-License-Identifier: Apache-2.0
#include "formats/gguf_text.h"

#include <fmt/format.h>

#include "base/error.h"
#include "formats/encoder_checks.h"

namespace wanslim {
namespace {

constexpr uint32_t kContext = 512;  // tokens that Wan2.1 pads a prompt to
constexpr std::string_view kTokens = "tokenizer.ggml.";

std::string key(std::string_view rest) {
  return fmt::format("{}.{}", kGgufTextEncoder, rest);
}

std::string token_key(std::string_view rest) {
  return std::string(kTokens) + std::string(rest);
}

// The sizes by key.
std::vector<std::pair<std::string, int64_t>> sizes_of(const Umt5Geometry& g) {
  return {{key("block_count"), g.layers},
          {key("embedding_length"), g.dim},
          {key("feed_forward_length"), g.ffn_dim},
          {key("vocab_size"), g.vocabulary},
          {key("attention.head_count"), g.heads},
          {key("attention.key_length"), g.head_dim()},
          {key("attention.value_length"), g.head_dim()},
          {key("attention.relative_buckets_count"), g.buckets}};
}

void add_vocabulary(const Vocabulary& v, std::vector<std::pair<std::string, GgufValue>>& out) {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  for (const Vocabulary::Piece& piece : v.pieces) {
    texts.push_back(piece.text);
    scores.push_back(piece.score);
    kinds.push_back(static_cast<int32_t>(piece.kind));
  }
  out.emplace_back(token_key("model"), std::string("t5"));
  out.emplace_back(token_key("pre"), std::string("default"));
  out.emplace_back(token_key("tokens"), std::move(texts));
  out.emplace_back(token_key("scores"), std::move(scores));
  out.emplace_back(token_key("token_type"), std::move(kinds));
  if (!v.charsmap.empty())
    out.emplace_back(token_key("precompiled_charsmap"),
                     std::vector<uint8_t>(v.charsmap.begin(), v.charsmap.end()));
  out.emplace_back(token_key("add_space_prefix"), v.space_prefix);
  out.emplace_back(token_key("remove_extra_whitespaces"), v.merges_spaces);
  out.emplace_back(token_key("unknown_token_id"), static_cast<uint32_t>(v.unknown));
  out.emplace_back(token_key("eos_token_id"), static_cast<uint32_t>(v.end));
  if (v.padding) out.emplace_back(token_key("padding_token_id"), static_cast<uint32_t>(*v.padding));
  out.emplace_back(token_key("add_bos_token"), false);
  out.emplace_back(token_key("add_eos_token"), true);
}

// The sizes that the tensors show, as far as they are there.
Umt5Geometry geometry_of(const Checkpoint& file) {
  Umt5Geometry g;
  const auto shape = [&](const char* name) {
    const StoredTensor* tensor = file.find(name);
    return tensor && tensor->shape.size() == 2 ? tensor->shape : Shape{0, 0};
  };
  const Shape words = shape("token_embd.weight"), positions = shape("enc.blk.0.attn_rel_b.weight");
  g = {.vocabulary = words[0],
       .dim = words[1],
       .attention_dim = shape("enc.blk.0.attn_q.weight")[0],
       .ffn_dim = shape("enc.blk.0.ffn_up.weight")[0],
       .heads = positions[1],
       .layers = 0,
       .buckets = positions[0]};
  while (file.find(fmt::format("enc.blk.{}.attn_norm.weight", g.layers))) ++g.layers;
  return g;
}

}  // namespace

void check_text_encoder(const FormatJob& job) {
  if (job.vocabulary) return;
  throw Error({.what = "a GGUF of the text encoder carries its vocabulary, and there is none",
               .where = "--tokenizer",
               .hint = "put google/umt5-xxl of the checkpoint beside the file, or name its place"});
}

std::vector<std::pair<std::string, GgufValue>> text_encoder_metadata(const FormatJob& job) {
  std::vector<std::pair<std::string, GgufValue>> out;
  // By it transformers tells umT5, with positions in every layer, from T5.
  out.emplace_back("general.name", job.encoder);
  out.emplace_back(key("context_length"), kContext);
  for (const auto& [name, size] : sizes_of(job.text_encoder))
    out.emplace_back(name, static_cast<uint32_t>(size));
  // Readers differ in the one they look for.
  for (const char* name : {"attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"})
    out.emplace_back(key(name), static_cast<float>(kUmt5Eps));
  add_vocabulary(*job.vocabulary, out);
  return out;
}

void verify_text_encoder(const Checkpoint& file, VerifyReport& report) {
  const auto text = [&](const std::string& name) {
    const auto it = file.metadata().find(name);
    return it == file.metadata().end() ? std::string("missing") : it->second;
  };
  const auto expect = [&](const std::string& name, const std::string& value) {
    if (const std::string got = text(name); got != value)
      report.problems.push_back(fmt::format("{} is {}, expected {}", name, printable(got), value));
  };
  std::set<std::string> names;
  for (const StoredTensor& t : file.tensors()) {
    if (const auto name = umt5_official_name(Umt5Naming::kGguf, t.name)) {
      names.insert(*name);
    } else {
      report.problems.push_back(printable(t.name) + " is no tensor of a text encoder");
    }
  }
  check_whole_encoder(ModelPart::kTextEncoder, names, report);
  const Umt5Geometry g = geometry_of(file);
  if (g.heads > 0 && g.attention_dim % g.heads == 0) {
    for (const auto& [name, size] : sizes_of(g)) expect(name, std::to_string(size));
  }
  expect(token_key("model"), "t5");
  const std::string all = g.vocabulary > 16 ? fmt::format("[{} values]", g.vocabulary) : "missing";
  for (const char* list : {"tokens", "scores", "token_type"}) expect(token_key(list), all);
  for (const char* name :
       {"add_space_prefix", "remove_extra_whitespaces", "eos_token_id", "padding_token_id"}) {
    if (text(token_key(name)) == "missing") report.problems.push_back(token_key(name) + " is missing");
  }
  report.checked.push_back(fmt::format("sizes, vocabulary of {} words and {} tensors of the text encoder",
                                       g.vocabulary, names.size()));
}

}  // namespace wanslim
