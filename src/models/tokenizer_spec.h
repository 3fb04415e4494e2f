// SPDX-License-Identifier: Apache-2.0
// A unigram tokenizer as data, read from either of the files that hold it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "models/unigram.h"

namespace wanslim {

struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool strip_left = false, strip_right = false;  // takes the white space beside it
  bool normalized = false;                       // looked for after normalization
};

struct NormalizerStep {
  enum class Kind : uint8_t { kCharsmap, kStripLeft, kStripRight, kReplaceText, kReplaceSpaces };
  Kind kind = Kind::kCharsmap;
  std::string pattern;  // kReplaceText
  std::string content;  // kReplaceText; kReplaceSpaces: for every run of two spaces or more
};

struct TokenizerSpec {
  enum class Prepend : uint8_t { kAlways, kFirst, kNever };

  std::vector<UnigramPiece> pieces;
  int32_t unk_id = 0;
  bool byte_fallback = false;
  std::vector<NormalizerStep> normalizer;
  std::string charsmap;
  std::vector<AddedToken> added;
  bool split_white_space = false;  // before the marks are put
  bool split_words = true;         // at the marks
  std::string mark = "\u2581";     // stands for a space
  Prepend prepend = Prepend::kAlways;
  std::vector<int32_t> before, after;  // ids around every text
};

// tokenizer.json of the Hugging Face library. Error names `where` and the part that is not understood.
TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view where);

// spiece.model, a protobuf of SentencePiece; the rest is what transformers 4.51 makes of it for T5: strip
// right, two spaces or more become a mark, marks always, "</s>" at the end, `extra_ids` tokens <extra_id_N>
// behind the pieces, from the last to the first, and unknown characters never fall back to bytes.
TokenizerSpec parse_spiece_model(std::string_view bytes, int extra_ids, std::string_view where);

}  // namespace wanslim
