// SPDX-License-Identifier: Apache-2.0
// The unigram language model of SentencePiece (Kudo 2018, https://arxiv.org/abs/1804.10959): cuts a text into
// the pieces whose scores sum highest, as Hugging Face's tokenizers do (double sums, the earlier of equal
// cuts).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wanslim {

struct UnigramPiece {
  std::string text;
  double score = 0;
};

class Unigram {
 public:
  // Ids are positions in `pieces`. Error if unk_id is none of them.
  Unigram(std::vector<UnigramPiece> pieces, int32_t unk_id, bool byte_fallback);

  // Appends the ids of `text`, which is valid UTF-8. Neighbouring characters without a piece become one
  // unknown token, or with byte_fallback the pieces "<0x00>" to "<0xFF>" of their bytes if all are there.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;

  int32_t size() const { return static_cast<int32_t>(pieces_.size()); }
  // -1 if there is no such piece.
  int32_t find(std::string_view text) const;

 private:
  struct Cut;
  void extend_cuts(std::string_view text, size_t begin, std::vector<Cut>& best) const;
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

  std::vector<UnigramPiece> pieces_;
  std::vector<int32_t> sorted_;  // ids by text
  int32_t unk_id_;
  bool byte_fallback_;
  double unk_score_ = 0;
};

}  // namespace wanslim
