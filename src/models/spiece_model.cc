// SPDX-License-Identifier: Apache-2.0
// Protocol buffers on the wire: fields of a key varint (number << 3 | type) and a value; type 0 varint, 1
// eight bytes, 2 length and bytes, 5 four bytes.
#include <fmt/format.h>

#include <bit>

#include "base/error.h"
#include "models/text_unicode.h"
#include "models/tokenizer_spec.h"

namespace wanslim {
namespace {

constexpr size_t kMaxPieces = 2'000'000;

enum class PieceType : uint64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

[[noreturn]] void fail(std::string_view where, std::string what) {
  throw Error({.what = std::move(what),
               .where = std::string(where),
               .hint = "expected the spiece.model of a SentencePiece unigram tokenizer; download it again"});
}

struct Field {
  uint64_t number = 0, type = 0;
  uint64_t value = 0;      // types 0, 1 and 5
  std::string_view bytes;  // type 2
};

class Message {
 public:
  Message(std::string_view bytes, std::string_view where) : left_(bytes), where_(where) {}

  bool next(Field& field) {
    if (left_.empty()) return false;
    const uint64_t key = varint();
    field = {.number = key >> 3, .type = key & 7, .value = 0, .bytes = {}};
    switch (field.type) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        fail(where_, fmt::format("a field has wire type {}", field.type));
    }
    return true;
  }

 private:
  std::string_view take(uint64_t count) {
    if (count > left_.size())
      fail(where_, fmt::format("the file is cut off: {} bytes wanted, {} left", count, left_.size()));
    const std::string_view out = left_.substr(0, count);
    left_.remove_prefix(count);
    return out;
  }
  uint64_t fixed(size_t count) {
    uint64_t out = 0;
    const std::string_view bytes = take(count);
    for (size_t i = 0; i < count; ++i)
      out |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return out;
  }
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      out |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return out;
    }
    fail(where_, "a number has more than ten bytes");
  }

  std::string_view left_, where_;
};

void expect_type(const Field& field, uint64_t type, std::string_view what, std::string_view where) {
  if (field.type != type)
    fail(where, fmt::format("{} has wire type {}, expected {}", what, field.type, type));
}

// Piece: text 1, score 2 (float), type 3.
void add_piece(std::string_view bytes, TokenizerSpec& spec, std::string_view where) {
  if (spec.pieces.size() >= kMaxPieces) fail(where, fmt::format("more than {} pieces", kMaxPieces));
  UnigramPiece piece;
  uint64_t type = 1;
  Message message(bytes, where);
  for (Field field; message.next(field);) {
    if (field.number == 1) {
      expect_type(field, 2, "the text of a piece", where);
      piece.text = field.bytes;
    } else if (field.number == 2) {
      expect_type(field, 5, "the score of a piece", where);
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    } else if (field.number == 3) {
      expect_type(field, 0, "the type of a piece", where);
      type = field.value;
    }
  }
  decode_utf8(piece.text);
  if (!(piece.score > -1e30 && piece.score < 1e30))
    fail(where, fmt::format("piece {} has score {}", spec.pieces.size(), piece.score));
  if (type >= static_cast<uint64_t>(PieceType::kUnknown) &&
      type <= static_cast<uint64_t>(PieceType::kUserDefined) && !piece.text.empty())
    spec.added.push_back({.text = piece.text, .id = static_cast<int32_t>(spec.pieces.size())});
  spec.pieces.push_back(std::move(piece));
}

// TrainerSpec: model type 3 (unigram = 1), id of the unknown token 40.
void read_trainer(std::string_view bytes, TokenizerSpec& spec, std::string_view where) {
  Message message(bytes, where);
  for (Field field; message.next(field);) {
    if (field.number == 3 && (field.type != 0 || field.value != 1))
      fail(where, fmt::format("the model has type {}, expected unigram (1)", field.value));
    if (field.number != 40) continue;
    expect_type(field, 0, "the id of the unknown token", where);
    spec.unk_id = static_cast<int32_t>(std::min<uint64_t>(field.value, INT32_MAX));
  }
}

// NormalizerSpec: precompiled charsmap 2.
void read_normalizer(std::string_view bytes, TokenizerSpec& spec, std::string_view where) {
  Message message(bytes, where);
  for (Field field; message.next(field);) {
    if (field.number != 2) continue;
    expect_type(field, 2, "the charsmap", where);
    spec.charsmap = field.bytes;
  }
}

}  // namespace

// ModelProto: pieces 1, trainer 2, normalizer 3.
TokenizerSpec parse_spiece_model(std::string_view bytes, int extra_ids, std::string_view where) {
  TokenizerSpec spec;
  Message message(bytes, where);
  for (Field field; message.next(field);) {
    if (field.number < 1 || field.number > 3) continue;
    expect_type(field, 2, "a part of the model", where);
    if (field.number == 1) add_piece(field.bytes, spec, where);
    if (field.number == 2) read_trainer(field.bytes, spec, where);
    if (field.number == 3) read_normalizer(field.bytes, spec, where);
  }
  if (spec.pieces.empty()) fail(where, "the file holds no pieces");
  for (int32_t id = 0; id < static_cast<int32_t>(spec.pieces.size()); ++id) {
    if (spec.pieces[static_cast<size_t>(id)].text == "</s>") spec.after = {id};
  }
  if (spec.after.empty()) fail(where, "there is no piece \"</s>\"");
  for (int extra = extra_ids; extra-- > 0;) {
    const std::string text = fmt::format("<extra_id_{}>", extra);
    spec.added.push_back({.text = text, .id = static_cast<int32_t>(spec.pieces.size())});
    spec.pieces.push_back({.text = text, .score = 0});
  }
  using Kind = NormalizerStep::Kind;
  if (!spec.charsmap.empty())
    spec.normalizer.push_back({.kind = Kind::kCharsmap, .pattern = {}, .content = {}});
  spec.normalizer.push_back({.kind = Kind::kStripRight, .pattern = {}, .content = {}});
  spec.normalizer.push_back({.kind = Kind::kReplaceSpaces, .pattern = {}, .content = spec.mark});
  return spec;
}

}  // namespace wanslim
