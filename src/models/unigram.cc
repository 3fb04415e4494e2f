// SPDX-License-Identifier: Apache-2.0
#include "models/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

constexpr double kUnknownPenalty = 10.0;

}  // namespace

// The best way to reach a byte: the piece that ends there and where it begins.
struct Unigram::Cut {
  double score = 0;
  size_t begin = SIZE_MAX;
  int32_t id = 0;
};

Unigram::Unigram(std::vector<UnigramPiece> pieces, int32_t unk_id, bool byte_fallback)
    : pieces_(std::move(pieces)), unk_id_(unk_id), byte_fallback_(byte_fallback) {
  if (unk_id < 0 || unk_id >= size())
    throw Error({.what = fmt::format("the unknown token has id {}, there are {} pieces", unk_id, size())});
  double lowest = std::numeric_limits<double>::infinity();
  for (const UnigramPiece& piece : pieces_) lowest = std::min(lowest, piece.score);
  unk_score_ = lowest - kUnknownPenalty;
  sorted_.resize(pieces_.size());
  std::iota(sorted_.begin(), sorted_.end(), 0);
  // Of pieces that stand twice the last one counts.
  std::sort(sorted_.begin(), sorted_.end(), [&](int32_t a, int32_t b) {
    const int order = pieces_[static_cast<size_t>(a)].text.compare(pieces_[static_cast<size_t>(b)].text);
    return order != 0 ? order < 0 : a > b;
  });
  const auto same = [&](int32_t a, int32_t b) {
    return pieces_[static_cast<size_t>(a)].text == pieces_[static_cast<size_t>(b)].text;
  };
  sorted_.erase(std::unique(sorted_.begin(), sorted_.end(), same), sorted_.end());
}

int32_t Unigram::find(std::string_view text) const {
  const auto found = std::lower_bound(
      sorted_.begin(), sorted_.end(), text,
      [&](int32_t id, std::string_view t) { return pieces_[static_cast<size_t>(id)].text < t; });
  return found != sorted_.end() && pieces_[static_cast<size_t>(*found)].text == text ? *found : -1;
}

// Tries every piece that begins at `begin`: narrows the sorted pieces byte by byte.
void Unigram::extend_cuts(std::string_view text, size_t begin, std::vector<Cut>& best) const {
  const double so_far = best[begin].score;
  const auto consider = [&](size_t end, double score, int32_t id) {
    Cut& cut = best[end];
    if (cut.begin == SIZE_MAX || score + so_far > cut.score) cut = {score + so_far, begin, id};
  };
  const size_t one_character = decode_utf8_at(text, begin).second;
  bool has_one_character = false;
  auto low = sorted_.begin(), high = sorted_.end();
  for (size_t end = begin; end < text.size(); ++end) {
    const size_t depth = end - begin;
    const auto byte_at = [&](int32_t id) {
      const std::string& piece = pieces_[static_cast<size_t>(id)].text;
      return piece.size() > depth ? static_cast<int>(static_cast<uint8_t>(piece[depth])) : -1;
    };
    const int byte = static_cast<uint8_t>(text[end]);
    low = std::lower_bound(low, high, byte, [&](int32_t id, int b) { return byte_at(id) < b; });
    high = std::upper_bound(low, high, byte, [&](int b, int32_t id) { return b < byte_at(id); });
    if (low == high) break;
    const UnigramPiece& shortest = pieces_[static_cast<size_t>(*low)];
    if (shortest.text.size() != depth + 1) continue;
    consider(end + 1, shortest.score, *low);
    has_one_character |= depth + 1 == one_character;
  }
  if (!has_one_character) consider(begin + one_character, unk_score_, unk_id_);
}

void Unigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (const int32_t whole = find(text); whole >= 0) return ids.push_back(whole);
  if (byte_fallback_) {
    std::vector<int32_t> bytes;
    for (char c : text) bytes.push_back(find(fmt::format("<0x{:02X}>", static_cast<uint8_t>(c))));
    if (std::find(bytes.begin(), bytes.end(), -1) == bytes.end()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  ids.push_back(unk_id_);
}

void Unigram::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<Cut> best(text.size() + 1);
  for (size_t begin = 0; begin < text.size(); begin += decode_utf8_at(text, begin).second)
    extend_cuts(text, begin, best);
  std::vector<size_t> ends;
  for (size_t end = text.size(); end > 0; end = best[end].begin) ends.push_back(end);
  for (size_t i = ends.size(); i-- > 0;) {
    if (best[ends[i]].id != unk_id_) {
      ids.push_back(best[ends[i]].id);
      continue;
    }
    const size_t begin = best[ends[i]].begin;
    while (i > 0 && best[ends[i - 1]].id == unk_id_) --i;
    append_unknown(text.substr(begin, ends[i] - begin), ids);
  }
}

}  // namespace wanslim
