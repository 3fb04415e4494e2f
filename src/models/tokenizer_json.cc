// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "models/tokenizer_spec.h"

namespace wanslim {
namespace {

constexpr size_t kMaxPieces = 2'000'000;

// Reads one part of the file; `part` is what an error names.
class Reader {
 public:
  Reader(std::string_view where, std::string part) : where_(where), part_(std::move(part)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error({.what = part_ + ": " + what,
                 .where = std::string(where_),
                 .hint = "expected the tokenizer.json of a unigram tokenizer such as google/umt5-xxl's"});
  }
  Reader in(std::string part) const { return {where_, std::move(part)}; }

  const Json& member(const Json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) fail(fmt::format("\"{}\" is missing", key));
    return object.at(key);
  }
  const Json& list(const Json& object, const char* key) const {
    const Json& out = member(object, key);
    if (!out.is_array()) fail(fmt::format("\"{}\" is no list", key));
    return out;
  }
  std::string text(const Json& object, const char* key) const {
    const Json& out = member(object, key);
    if (!out.is_string()) fail(fmt::format("\"{}\" is no text", key));
    return out.get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool otherwise) const {
    if (!object.is_object() || !object.contains(key) || object.at(key).is_null()) return otherwise;
    if (!object.at(key).is_boolean()) fail(fmt::format("\"{}\" is neither true nor false", key));
    return object.at(key).get<bool>();
  }
  int32_t id(const Json& value, std::string_view what) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX)
      fail(fmt::format("{} is no token id", what));
    return value.get<int32_t>();
  }

 private:
  std::string_view where_;
  std::string part_;
};

std::string decode_base64(const std::string& text, const Reader& reader) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    if (c == '=') break;
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) reader.fail("the charsmap is no base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

void read_replace(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  using Kind = NormalizerStep::Kind;
  const Json& pattern = reader.member(json, "pattern");
  const std::string content = reader.text(json, "content");
  if (pattern.is_object() && pattern.contains("String")) {
    const std::string text = reader.text(pattern, "String");
    if (text.empty()) reader.fail("Replace with an empty pattern");
    spec.normalizer.push_back({.kind = Kind::kReplaceText, .pattern = text, .content = content});
  } else if (pattern.is_object() && pattern.contains("Regex") && reader.text(pattern, "Regex") == " {2,}") {
    spec.normalizer.push_back({.kind = Kind::kReplaceSpaces, .pattern = {}, .content = content});
  } else {
    reader.fail(fmt::format("Replace with the pattern {} is not known here", pattern.dump()));
  }
}

void read_normalizer(const Json& json, TokenizerSpec& spec, const Reader& reader, int depth = 0) {
  using Kind = NormalizerStep::Kind;
  if (json.is_null()) return;
  const std::string type = reader.text(json, "type");
  if (type == "Sequence" && depth < 4) {
    for (const Json& step : reader.list(json, "normalizers")) read_normalizer(step, spec, reader, depth + 1);
  } else if (type == "Precompiled") {
    if (!spec.charsmap.empty()) reader.fail("two charsmaps");
    if (json.contains("precompiled_charsmap") && json.at("precompiled_charsmap").is_null()) return;
    spec.charsmap = decode_base64(reader.text(json, "precompiled_charsmap"), reader);
    if (!spec.charsmap.empty())
      spec.normalizer.push_back({.kind = Kind::kCharsmap, .pattern = {}, .content = {}});
  } else if (type == "Strip") {
    const NormalizerStep left{.kind = Kind::kStripLeft, .pattern = {}, .content = {}};
    const NormalizerStep right{.kind = Kind::kStripRight, .pattern = {}, .content = {}};
    if (reader.flag(json, "strip_left", true)) spec.normalizer.push_back(left);
    if (reader.flag(json, "strip_right", true)) spec.normalizer.push_back(right);
  } else if (type == "Replace") {
    read_replace(json, spec, reader);
  } else {
    reader.fail(fmt::format("\"{}\" is not known here", type));
  }
}

void read_metaspace(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  using Prepend = TokenizerSpec::Prepend;
  spec.mark = reader.text(json, "replacement");
  if (spec.mark.empty()) reader.fail("\"replacement\" is empty");
  spec.split_words = reader.flag(json, "split", true);
  spec.prepend = reader.flag(json, "add_prefix_space", true) ? Prepend::kAlways : Prepend::kNever;
  if (!json.contains("prepend_scheme")) return;
  const std::string scheme = reader.text(json, "prepend_scheme");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    reader.fail(fmt::format("prepend_scheme \"{}\" is not known here", scheme));
  spec.prepend = scheme == "always"  ? Prepend::kAlways
                 : scheme == "first" ? Prepend::kFirst
                                     : Prepend::kNever;
}

void read_pre_tokenizer(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  const std::string type = reader.text(json, "type");
  if (type == "Metaspace") return read_metaspace(json, spec, reader);
  if (type != "Sequence") reader.fail(fmt::format("\"{}\" is not known here", type));
  const Json& steps = reader.list(json, "pretokenizers");
  if (steps.size() != 2 || reader.text(steps[0], "type") != "WhitespaceSplit" ||
      reader.text(steps[1], "type") != "Metaspace")
    reader.fail("a sequence other than WhitespaceSplit, Metaspace is not known here");
  spec.split_white_space = true;
  read_metaspace(steps[1], spec, reader);
}

void read_post_processor(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  if (json.is_null()) return;
  if (reader.text(json, "type") != "TemplateProcessing")
    reader.fail(fmt::format("{} is not known here", json.at("type").dump()));
  const Json& tokens = reader.member(json, "special_tokens");
  bool text_seen = false;
  for (const Json& item : reader.list(json, "single")) {
    if (item.is_object() && item.contains("Sequence")) {
      text_seen = true;
      continue;
    }
    const std::string name = reader.text(reader.member(item, "SpecialToken"), "id");
    for (const Json& id : reader.list(reader.member(tokens, name.c_str()), "ids"))
      (text_seen ? spec.after : spec.before).push_back(reader.id(id, name));
  }
  if (!text_seen || spec.before.size() + spec.after.size() > 16)
    reader.fail("\"single\" is no template for one text");
}

void read_model(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  if (reader.text(json, "type") != "Unigram")
    reader.fail(fmt::format("type {}, expected \"Unigram\"", json.at("type").dump()));
  spec.unk_id = reader.id(reader.member(json, "unk_id"), "unk_id");
  spec.byte_fallback = reader.flag(json, "byte_fallback", false);
  const Json& vocab = reader.list(json, "vocab");
  if (vocab.size() > kMaxPieces) reader.fail(fmt::format("more than {} pieces", kMaxPieces));
  spec.pieces.reserve(vocab.size());
  for (const Json& row : vocab) {
    if (!row.is_array() || row.size() != 2 || !row[0].is_string() || !row[1].is_number())
      reader.fail(fmt::format("row {} of \"vocab\" is no pair of text and score", spec.pieces.size()));
    spec.pieces.push_back({.text = row[0].get<std::string>(), .score = row[1].get<double>()});
  }
}

void read_added_tokens(const Json& json, TokenizerSpec& spec, const Reader& reader) {
  for (const Json& row : json) {
    const AddedToken token{.text = reader.text(row, "content"),
                           .id = reader.id(reader.member(row, "id"), "\"id\""),
                           .strip_left = reader.flag(row, "lstrip", false),
                           .strip_right = reader.flag(row, "rstrip", false),
                           .normalized = reader.flag(row, "normalized", false)};
    if (token.text.empty()) reader.fail("a token without text");
    if (reader.flag(row, "single_word", false))
      reader.fail(fmt::format("\"{}\": single_word is not known here", token.text));
    spec.added.push_back(token);
  }
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view where) {
  const Json root = parse_json(text, where);
  const Reader reader(where, "tokenizer");
  TokenizerSpec spec;
  read_model(reader.member(root, "model"), spec, reader.in("model"));
  if (root.contains("normalizer")) read_normalizer(root.at("normalizer"), spec, reader.in("normalizer"));
  read_pre_tokenizer(reader.member(root, "pre_tokenizer"), spec, reader.in("pre_tokenizer"));
  if (root.contains("post_processor"))
    read_post_processor(root.at("post_processor"), spec, reader.in("post_processor"));
  if (root.contains("added_tokens")) {
    if (!root.at("added_tokens").is_array()) reader.fail("\"added_tokens\" is no list");
    read_added_tokens(root.at("added_tokens"), spec, reader.in("added_tokens"));
  }
  return spec;
}

}  // namespace wanslim
