// SPDX-License-Identifier: Apache-2.0
// The words of a text encoder, as formats that carry them write them; models/vocabulary.h makes one of a
// tokenizer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wanslim {

// A unigram vocabulary as files of other programs carry it.
struct Vocabulary {
  // SentencePiece's numbers.
  enum class Kind : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::kNormal;
  };
  std::vector<Piece> pieces;  // by id
  std::string charsmap;       // SentencePiece's precompiled normalization; empty: none
  bool space_prefix = true, merges_spaces = true;
  int32_t unknown = 0, end = 1;
  std::optional<int32_t> padding = {};
};

}  // namespace wanslim
