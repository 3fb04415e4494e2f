// SPDX-License-Identifier: Apache-2.0
// The vocabulary of a tokenizer as files of other programs carry it.
#pragma once
#include "config/vocabulary.h"
#include "models/tokenizer_spec.h"

namespace wanslim {

// One piece for each of the `rows` of the embedding: those without a word are unused. Error naming `where` if
// the tokenizer has more words than rows.
Vocabulary vocabulary_of(const TokenizerSpec& spec, int64_t rows, std::string_view where);

}  // namespace wanslim
