// SPDX-License-Identifier: Apache-2.0
#include "models/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace wanslim {
namespace {

using Kind = Vocabulary::Kind;

constexpr float kUnusedScore = -1000;

bool is_byte_piece(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
}

// Words that are added to the pieces or stand for no text: "<extra_id_0>" may be written in a prompt.
Kind kind_of_added(std::string_view text) {
  return text.starts_with("<extra_id_") ? Kind::kUserDefined : Kind::kControl;
}

}  // namespace

Vocabulary vocabulary_of(const TokenizerSpec& spec, int64_t rows, std::string_view where) {
  Vocabulary out;
  for (const UnigramPiece& piece : spec.pieces) {
    const Kind kind = is_byte_piece(piece.text) ? Kind::kByte : Kind::kNormal;
    out.pieces.push_back({.text = piece.text, .score = static_cast<float>(piece.score), .kind = kind});
  }
  int64_t words = static_cast<int64_t>(out.pieces.size());
  for (const AddedToken& token : spec.added) words = std::max(words, int64_t{token.id} + 1);
  if (words > rows) {
    throw Error({.what = fmt::format("the tokenizer has {} words, the text encoder {}", words, rows),
                 .where = std::string(where),
                 .hint = "it belongs to another model"});
  }
  for (int64_t id = static_cast<int64_t>(out.pieces.size()); id < rows; ++id)
    out.pieces.push_back({.text = fmt::format("[PAD{}]", id), .score = kUnusedScore, .kind = Kind::kUnused});
  for (const AddedToken& token : spec.added) {
    Vocabulary::Piece& piece = out.pieces[static_cast<size_t>(token.id)];
    piece.text = token.text;
    if (piece.kind == Kind::kUnused) piece.score = 0;
    piece.kind = kind_of_added(token.text);
  }
  out.unknown = spec.unk_id;
  out.pieces[static_cast<size_t>(spec.unk_id)].kind = Kind::kUnknown;
  for (size_t id = 0; id < out.pieces.size(); ++id) {
    if (out.pieces[id].text == "<pad>") out.padding = static_cast<int32_t>(id);
  }
  if (!spec.after.empty()) out.end = spec.after.back();
  out.charsmap = spec.charsmap;
  out.space_prefix = spec.prepend != TokenizerSpec::Prepend::kNever;
  out.merges_spaces = std::any_of(spec.normalizer.begin(), spec.normalizer.end(), [](const auto& step) {
    return step.kind == NormalizerStep::Kind::kReplaceSpaces;
  });
  return out;
}

}  // namespace wanslim
