// SPDX-License-Identifier: Apache-2.0
// The precompiled normalizer inside a SentencePiece model ("precompiled_charsmap"):
//   u32 bytes of the trie | trie: u32 units of a double array (darts-clone) | replacements, each ended by a
//   zero
// Applied as Hugging Face's tokenizers do: a grapheme cluster below 6 bytes as a whole, else every character;
// the shortest key that the text begins with decides for all of it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wanslim {

class Charsmap {
 public:
  Charsmap() = default;  // changes nothing
  // Error naming `where` if the sizes do not fit or the replacements are no UTF-8.
  Charsmap(std::string_view bytes, std::string_view where);

  std::u32string normalize(std::u32string_view text) const;

 private:
  std::optional<std::u32string> replacement(std::u32string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace wanslim
