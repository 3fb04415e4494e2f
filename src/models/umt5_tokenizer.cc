// SPDX-License-Identifier: Apache-2.0
#include "models/umt5_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "models/charsmap.h"
#include "models/text_clean.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxFile = 200'000'000;
constexpr int kUmt5ExtraIds = 300;

int extra_ids_of(const Path& config) {
  if (!path_exists(config)) return kUmt5ExtraIds;
  const std::string where = config.string();
  const Json json = parse_json(read_text(config, kMaxFile), where);
  if (!json.is_object() || !json.contains("extra_ids")) return kUmt5ExtraIds;
  const int64_t count = json_int(json, "extra_ids", where);
  if (count < 0 || count > 100'000)
    throw Error({.what = fmt::format("\"extra_ids\" is {}", count), .where = where});
  return static_cast<int>(count);
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find(pattern, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += content;
    at = found + pattern.size();
  }
}

std::string replace_space_runs(std::string_view text, std::string_view content) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_not_of(' ', at), text.size());
    if (end - at >= 2) {
      out += content;
      at = end;
    } else {
      out += text[at++];
    }
  }
  return out;
}

// Bytes of white space at the start, or at the end, of a valid UTF-8 text.
size_t white_space_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto [code, bytes] = decode_utf8_at(text, at);
    if (!is_white_space(code)) break;
    at += bytes;
  }
  return at;
}
size_t white_space_suffix(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
    if (!is_white_space(decode_utf8_at(text, begin).first)) break;
    end = begin;
  }
  return text.size() - end;
}

// A stretch of text, or a token that was found in it.
struct Part {
  std::string text;
  int32_t id = -1;
  bool first = false;  // begins where the whole text begins
};

}  // namespace

struct Umt5Tokenizer::State {
  TokenizerSpec spec;
  Charsmap charsmap;
  Unigram unigram;
  std::vector<AddedToken> raw, normalized;  // added tokens by when they are looked for

  State(TokenizerSpec given, std::string_view where)
      : spec(std::move(given)),
        charsmap(spec.charsmap.empty() ? Charsmap() : Charsmap(spec.charsmap, where)),
        unigram(std::move(spec.pieces), spec.unk_id, spec.byte_fallback) {
    for (const AddedToken& token : spec.added) {
      if (!token.normalized) {
        raw.push_back(token);
      } else if (AddedToken copy = token; !(copy.text = normalize(token.text)).empty()) {
        normalized.push_back(copy);
      }
    }
  }

  std::string normalize(std::string text) const {
    for (const NormalizerStep& step : spec.normalizer) {
      switch (step.kind) {
        case NormalizerStep::Kind::kCharsmap:
          text = encode_utf8(charsmap.normalize(decode_utf8(text)));
          break;
        case NormalizerStep::Kind::kStripLeft:
          text.erase(0, white_space_prefix(text));
          break;
        case NormalizerStep::Kind::kStripRight:
          text.erase(text.size() - white_space_suffix(text));
          break;
        case NormalizerStep::Kind::kReplaceText:
          text = replace_all(text, step.pattern, step.content);
          break;
        case NormalizerStep::Kind::kReplaceSpaces:
          text = replace_space_runs(text, step.content);
          break;
      }
    }
    return text;
  }

  // Cuts the tokens out of the text, the longest at the first place.
  static std::vector<Part> cut_out(const Part& part, const std::vector<AddedToken>& tokens) {
    const std::string_view text = part.text;
    std::vector<Part> out;
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const AddedToken* longest = nullptr;
      for (const AddedToken& token : tokens) {
        if (text.substr(at).starts_with(token.text) && (!longest || token.text.size() > longest->text.size()))
          longest = &token;
      }
      if (!longest) {
        ++at;
        continue;
      }
      const size_t end = at + longest->text.size();
      const size_t left = longest->strip_left ? white_space_suffix(text.substr(done, at - done)) : 0;
      const size_t right = longest->strip_right ? white_space_prefix(text.substr(end)) : 0;
      if (at - left > done)
        out.push_back({std::string(text.substr(done, at - left - done)), -1, part.first && done == 0});
      out.push_back({longest->text, longest->id, false});
      done = at = end + right;
    }
    if (done < text.size()) out.push_back({std::string(text.substr(done)), -1, part.first && done == 0});
    return out;
  }

  void encode_part(const Part& part, std::vector<int32_t>& ids) const {
    if (!spec.split_white_space) return encode_marked(part.text, part.first, ids);
    std::string_view left = part.text;
    bool first = part.first;
    for (;;) {
      const size_t space = white_space_prefix(left);
      first = first && space == 0;
      left.remove_prefix(space);
      if (left.empty()) return;
      size_t end = 0;
      while (end < left.size() && !is_white_space(decode_utf8_at(left, end).first))
        end += decode_utf8_at(left, end).second;
      encode_marked(std::string(left.substr(0, end)), first, ids);
      first = false;
      left.remove_prefix(end);
    }
  }

  // Spaces become marks, every mark begins a word, every word is cut into pieces.
  void encode_marked(const std::string& text, bool first, std::vector<int32_t>& ids) const {
    std::string marked = replace_all(text, " ", spec.mark);
    const bool wanted = spec.prepend == TokenizerSpec::Prepend::kAlways ||
                        (spec.prepend == TokenizerSpec::Prepend::kFirst && first);
    if (marked.empty()) return;
    if (wanted && !marked.starts_with(spec.mark)) marked.insert(0, spec.mark);
    const std::string_view all = marked;
    for (size_t begin = 0; begin < all.size();) {
      size_t end = spec.split_words ? all.find(spec.mark, begin + 1) : all.size();
      end = std::min(end, all.size());
      unigram.encode(all.substr(begin, end - begin), ids);
      begin = end;
    }
  }
};

Umt5Tokenizer::Umt5Tokenizer(TokenizerSpec spec, std::string_view where)
    : state_(std::make_unique<const State>(std::move(spec), where)) {}
Umt5Tokenizer::~Umt5Tokenizer() = default;
Umt5Tokenizer::Umt5Tokenizer(Umt5Tokenizer&&) noexcept = default;
Umt5Tokenizer& Umt5Tokenizer::operator=(Umt5Tokenizer&&) noexcept = default;

namespace {

// `path` itself, or the file of a tokenizer in it.
Path tokenizer_file(const Path& path) {
  if (!is_folder(path)) return path;
  for (const char* name : {"tokenizer.json", "spiece.model"}) {
    if (path_exists(path / name)) return path / name;
  }
  throw Error({.what = "the folder holds neither tokenizer.json nor spiece.model",
               .where = path.string(),
               .hint = "give the folder google/umt5-xxl of the checkpoint"});
}

// Runs `read` with errors that name the file.
template <class Read>
auto in_file(const std::string& where, Read read) {
  try {
    return read();
  } catch (Error& e) {
    if (e.parts.where != where) e.parts.where = where;
    throw Error(e.parts);
  }
}

}  // namespace

TokenizerSpec Umt5Tokenizer::read(const Path& path) {
  const Path file = tokenizer_file(path);
  const std::string where = file.string();
  const std::string bytes = read_text(file, kMaxFile);
  return in_file(where, [&] {
    if (file.extension() == ".json") return parse_tokenizer_json(bytes, where);
    return parse_spiece_model(bytes, extra_ids_of(file.parent_path() / "tokenizer_config.json"), where);
  });
}

Umt5Tokenizer Umt5Tokenizer::open(const Path& path) {
  const std::string where = tokenizer_file(path).string();
  return in_file(where, [&] { return Umt5Tokenizer(read(path), where); });
}

std::vector<int32_t> Umt5Tokenizer::encode(std::string_view prompt, int limit) const {
  return encode_clean(clean_prompt(prompt), limit);
}

std::vector<int32_t> Umt5Tokenizer::encode_clean(std::string_view text, int limit) const {
  const TokenizerSpec& spec = state_->spec;
  decode_utf8(text);
  std::vector<int32_t> ids = spec.before;
  for (const Part& part : State::cut_out({std::string(text), -1, true}, state_->raw)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    const Part normal{state_->normalize(part.text), -1, part.first};
    for (const Part& piece : State::cut_out(normal, state_->normalized)) {
      piece.id >= 0 ? ids.push_back(piece.id) : state_->encode_part(piece, ids);
    }
  }
  const size_t around = spec.before.size() + spec.after.size();
  CHECK(limit >= 0 && static_cast<size_t>(limit) >= around);
  ids.resize(std::min(ids.size(), static_cast<size_t>(limit) - spec.after.size()));
  ids.insert(ids.end(), spec.after.begin(), spec.after.end());
  return ids;
}

int32_t Umt5Tokenizer::vocabulary() const {
  int32_t out = state_->unigram.size();
  for (const AddedToken& token : state_->spec.added) out = std::max(out, token.id + 1);
  return out;
}

}  // namespace wanslim
