// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "models/charsmap.h"
#include "models/umt5_tokenizer.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Protobuf by hand: a field with bytes, with a varint, with a float.
std::string field(int number, std::string_view bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) +
         std::string(bytes);
}
std::string field(int number, int value) {
  return std::string(1, static_cast<char>(number << 3)) + static_cast<char>(value);
}
std::string field(int number, float value) {
  std::string out(1, static_cast<char>(number << 3 | 5));
  return out.append(reinterpret_cast<const char*>(&value), 4);
}
std::string piece(std::string_view text, float score, int type = 1) {
  return field(1, field(1, text) + field(2, score) + field(3, type));
}
const std::string kEnd = piece("</s>", 0, 3);
const std::string kUnknown = piece("<unk>", 0, 2);
const std::string kUnkId = field(2, std::string("\xc0\x02\x01", 3));  // field 40 = 1

struct Malformed {
  const char* name;
  std::string bytes;
  const char* complaint;
};

template <class Parse>
void expect_refused(const std::vector<Malformed>& list, Parse parse) {
  for (const Malformed& m : list) {
    SCOPED_TRACE(m.name);
    try {
      Umt5Tokenizer tokenizer(parse(m.bytes), "file");
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr(m.complaint));
    }
  }
}

TEST(SpieceModel, refuses_malformed_ones) {
  const std::string good = kEnd + kUnknown + kUnkId;
  const std::vector<Malformed> list = {
      {"empty", "", "holds no pieces"},
      {"text", "hello world", "wire type"},
      {"key cut off", "\x8a", "cut off"},
      {"length cut off", "\x0a\xff", "cut off"},
      {"length past the end", "\x0a\x7f_", "cut off: 127 bytes wanted, 1 left"},
      {"length of 2^63", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut off"},
      {"varint of eleven bytes", std::string(11, '\xff'), "more than ten bytes"},
      {"group", "\x0b", "wire type 3"},
      {"wire type 7", "\x0f", "wire type 7"},
      {"piece is a number", field(1, 5), "a part of the model has wire type 0"},
      {"trainer is a number", kEnd + field(2, 5), "a part of the model has wire type 0"},
      {"text is a number", field(1, field(1, 5)), "the text of a piece"},
      {"score is a varint", field(1, field(1, "a") + field(2, 5)), "the score of a piece"},
      {"type is text", field(1, field(1, "a") + field(3, "b")), "the type of a piece"},
      {"score is NaN", piece("a", std::numeric_limits<float>::quiet_NaN()), "piece 0 has score nan"},
      {"score is infinite", piece("a", -std::numeric_limits<float>::infinity()), "has score -inf"},
      {"piece is no UTF-8", piece("\xff\xfe", 0), "no valid UTF-8"},
      {"no end", kUnknown, "no piece \"</s>\""},
      {"a BPE model", kEnd + field(2, field(3, 2)), "type 2, expected unigram"},
      {"unknown outside", kEnd + field(2, std::string("\xc0\x02\x7f", 3)), "unknown token has id 127"},
      {"unknown far outside",
       kEnd + field(2, std::string("\xc0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12)),
       "unknown token has id 2147483647"},
      {"charsmap of two bytes", good + field(3, field(2, "ab")), "charsmap has 2 bytes"},
      {"charsmap is a number", good + field(3, field(2, 5)), "the charsmap has wire type 0"},
      {"trie longer than the map", good + field(3, field(2, std::string("\x08\0\0\0abcd", 8))),
       "a trie of 8 bytes"},
      {"trie of odd size", good + field(3, field(2, std::string("\x03\0\0\0abcd", 8))), "a trie of 3 bytes"},
      {"trie of nothing", good + field(3, field(2, std::string("\0\0\0\0abcd", 8))), "a trie of 0 bytes"},
      {"replacements no UTF-8", good + field(3, field(2, std::string("\x04\0\0\0abcd\xff", 9))), "no UTF-8"},
  };
  expect_refused(list, [](const std::string& bytes) { return parse_spiece_model(bytes, 2, "file"); });
  EXPECT_EQ(parse_spiece_model(good, 2, "file").pieces.size(), 4u);
}

std::string json(std::string model,
                 std::string rest = R"(,"pre_tokenizer":{"type":"Metaspace","replacement":"_"})") {
  return "{\"model\":" + model + rest + "}";
}
constexpr const char* kModel = R"({"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["_a",-1.5],["b",-2]]})";
std::string with(const std::string& more) {
  return json(kModel, R"(,"pre_tokenizer":{"type":"Metaspace","replacement":"_"},)" + more);
}

TEST(TokenizerJson, refuses_malformed_ones_and_what_it_does_not_know) {
  const std::vector<Malformed> list = {
      {"empty", "", "invalid JSON"},
      {"list", "[]", "\"model\" is missing"},
      {"no model", "{}", "\"model\" is missing"},
      {"model is text", json("\"x\""), "model: \"type\" is missing"},
      {"a BPE model", json(R"({"type":"BPE"})"), "expected \"Unigram\""},
      {"no vocab", json(R"({"type":"Unigram","unk_id":0})"), "\"vocab\" is missing"},
      {"vocab is an object", json(R"({"type":"Unigram","unk_id":0,"vocab":{}})"), "\"vocab\" is no list"},
      {"empty vocab", json(R"({"type":"Unigram","unk_id":0,"vocab":[]})"), "there are 0 pieces"},
      {"row of one", json(R"({"type":"Unigram","unk_id":0,"vocab":[["a"]]})"), "row 0 of"},
      {"row swapped", json(R"({"type":"Unigram","unk_id":0,"vocab":[["a",0],[1,"b"]]})"), "row 1 of"},
      {"unk_id negative", json(R"({"type":"Unigram","unk_id":-1,"vocab":[["a",0]]})"),
       "unk_id is no token id"},
      {"unk_id null", json(R"({"type":"Unigram","unk_id":null,"vocab":[["a",0]]})"), "unk_id is no token id"},
      {"unk_id outside", json(R"({"type":"Unigram","unk_id":1,"vocab":[["a",0]]})"),
       "unknown token has id 1"},
      {"byte_fallback text", json(R"({"type":"Unigram","unk_id":0,"byte_fallback":"x","vocab":[["a",0]]})"),
       "\"byte_fallback\" is neither"},
      {"no pre_tokenizer", json(kModel, ""), "\"pre_tokenizer\" is missing"},
      {"ByteLevel", json(kModel, R"(,"pre_tokenizer":{"type":"ByteLevel"})"), "\"ByteLevel\" is not known"},
      {"Sequence of one", json(kModel, R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[]})"),
       "a sequence other than"},
      {"empty mark", json(kModel, R"(,"pre_tokenizer":{"type":"Metaspace","replacement":""})"), "is empty"},
      {"prepend sometimes",
       json(kModel,
            R"(,"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"sometimes"})"),
       "\"sometimes\" is not known"},
      {"NFKC", with(R"("normalizer":{"type":"NFKC"})"), "normalizer: \"NFKC\" is not known"},
      {"deep normalizers",
       with(
           R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Sequence","normalizers":[{"type":"Sequence",)"
           R"("normalizers":[{"type":"Sequence","normalizers":[{"type":"Sequence","normalizers":[]}]}]}]}]})"),
       "\"Sequence\" is not known"},
      {"charsmap no base64", with(R"("normalizer":{"type":"Precompiled","precompiled_charsmap":"*"})"),
       "no base64"},
      {"charsmap too short", with(R"("normalizer":{"type":"Precompiled","precompiled_charsmap":"YQ=="})"),
       "charsmap has 1 bytes"},
      {"unknown regex", with(R"("normalizer":{"type":"Replace","pattern":{"Regex":"a*"},"content":""})"),
       "is not known here"},
      {"empty pattern", with(R"("normalizer":{"type":"Replace","pattern":{"String":""},"content":"x"})"),
       "an empty pattern"},
      {"other post-processor", with(R"("post_processor":{"type":"ByteLevel"})"),
       "\"ByteLevel\" is not known"},
      {"template without text",
       with(R"("post_processor":{"type":"TemplateProcessing","single":[],"special_tokens":{}})"),
       "no template for one text"},
      {"template of an unknown token",
       with(
           R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}})"),
       "\"x\" is missing"},
      {"added tokens an object", with(R"("added_tokens":{})"), "\"added_tokens\" is no list"},
      {"added token without id", with(R"("added_tokens":[{"content":"x"}])"), "\"id\" is missing"},
      {"added token without text", with(R"("added_tokens":[{"content":"","id":1}])"), "a token without text"},
      {"single word", with(R"("added_tokens":[{"content":"x","id":1,"single_word":true}])"),
       "single_word is not"},
  };
  expect_refused(list, [](const std::string& text) { return parse_tokenizer_json(text, "file"); });
}

TEST(Umt5Tokenizer, falls_back_to_bytes_only_if_all_are_there) {
  const auto ids = [](const char* vocab) {
    const std::string model =
        std::string(R"({"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["_a",-1])") +
        vocab + "]}";
    return Umt5Tokenizer(parse_tokenizer_json(json(model), "file")).encode_clean("a\u00e9\u00e9");
  };
  EXPECT_THAT(ids(R"(,["<0xC3>",0],["<0xA9>",0])"), ElementsAre(1, 2, 3, 2, 3));
  EXPECT_THAT(ids(R"(,["<0xC3>",0])"), ElementsAre(1, 0));
}

TEST(Charsmap, stays_inside_a_hostile_trie) {
  // Every unit points far away, has a leaf and a label that fits.
  for (uint32_t unit : {0xffffffffu, 0x7fffff61u, 0x80000161u, 0x00000361u}) {
    std::string bytes("\x10\0\0\0", 4);
    for (int i = 0; i < 4; ++i) bytes.append(reinterpret_cast<const char*>(&unit), 4);
    EXPECT_EQ(Charsmap(bytes + "x", "file").normalize(U"aaa a\u0301"), U"aaa a\u0301");
  }
}

}  // namespace
}  // namespace wanslim
