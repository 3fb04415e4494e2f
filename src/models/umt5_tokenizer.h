// SPDX-License-Identifier: Apache-2.0
// Prompt -> token ids of the umT5 text encoder, as the official pipeline makes them (spec A4, A9.4): cleaning
// (text_clean.h), special tokens such as </s> or <extra_id_0> cut out of the text, precompiled charsmap,
// words marked with U+2581, unigram pieces, </s> at the end, cut to 512.
//
//   const Umt5Tokenizer tokenizer = Umt5Tokenizer::open("google/umt5-xxl");
//   std::vector<int32_t> ids = tokenizer.encode("a cat");
//
// Safe to use from several threads at once.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "models/tokenizer_spec.h"

namespace wanslim {

constexpr int kMaxPromptTokens = 512;

class Umt5Tokenizer {
 public:
  // A tokenizer.json, a spiece.model, or a folder: its tokenizer.json, else its spiece.model with the number
  // of extra ids from tokenizer_config.json (300 without one).
  static Umt5Tokenizer open(const Path& path);
  // What open() reads.
  static TokenizerSpec read(const Path& path);
  explicit Umt5Tokenizer(TokenizerSpec spec, std::string_view where = "tokenizer");
  ~Umt5Tokenizer();
  Umt5Tokenizer(Umt5Tokenizer&&) noexcept;
  Umt5Tokenizer& operator=(Umt5Tokenizer&&) noexcept;

  // Ids of the cleaned prompt with the tokens around it, at most `limit`; no padding.
  std::vector<int32_t> encode(std::string_view prompt, int limit = kMaxPromptTokens) const;
  // The same without cleaning.
  std::vector<int32_t> encode_clean(std::string_view text, int limit = kMaxPromptTokens) const;
  // One more than the largest id: the rows that the embedding needs at least.
  int32_t vocabulary() const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace wanslim
