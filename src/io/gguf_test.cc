// SPDX-License-Identifier: Apache-2.0
#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

std::string u32(uint64_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}
std::string u64(uint64_t value) {
  return u32(value & 0xffffffff) + u32(value >> 32);
}
std::string text(std::string_view value) {
  return u64(value.size()) + std::string(value);
}
std::string start(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
  return "GGUF" + u32(version) + u64(tensors) + u64(pairs);
}
// A tensor info; `extents` innermost first.
std::string info(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                 uint64_t offset) {
  std::string out = text(name) + u32(extents.size());
  for (uint64_t e : extents) out += u64(e);
  return out + u32(type) + u64(offset);
}
std::string number(std::string_view key, uint32_t value) {
  return text(key) + u32(4) + u32(value);
}

std::optional<GgufHeader> parse(const std::string& bytes, uint64_t data = 0) {
  const uint64_t size = (bytes.size() + 31) / 32 * 32 + data;
  return parse_gguf_header(std::as_bytes(std::span(bytes)), data == 0 ? bytes.size() : size, "x.gguf");
}

std::string complaint_about(const std::string& bytes, uint64_t data) {
  try {
    return parse(bytes, data) ? "accepted" : "goes on";
  } catch (const Error& e) {
    return e.text;
  }
}

struct Malformed {
  const char* name;
  std::string bytes;
  uint64_t data;
  const char* complaint;
};

const Malformed kMalformed[] = {
    {"empty", "", 0, "in the middle"},
    {"another magic", "GGML" + u32(3) + u64(0) + u64(0), 0, "does not begin with"},
    {"version 1", start(0, 0, 1), 0, "version 1"},
    {"version 4", start(0, 0, 4), 0, "version 4"},
    {"big-endian", "GGUF" + std::string("\0\0\0\3", 4) + u64(0) + u64(0), 0, "big-endian"},
    {"cut in the counts", start(0, 0).substr(0, 20), 0, "in the middle"},
    {"tensors that do not come", start(1, 0), 0, "in the middle"},
    {"impossible count", start(uint64_t{1} << 60, 0), 0, "a length of"},
    {"pairs that do not come", start(0, 5), 0, "in the middle"},
    {"key without end", start(0, 1) + u64(1000) + "ab", 0, "in the middle"},
    {"key of 2^63", start(0, 1) + u64(uint64_t{1} << 63), 0, "a length of"},
    {"long key", start(0, 1) + text(std::string(70000, 'k')) + u32(0) + "a", 0, "at most 65535"},
    {"empty key", start(0, 1) + text("") + u32(4) + u32(1), 0, "empty"},
    {"key no UTF-8", start(0, 1) + text("\xff\xfe") + u32(4) + u32(1), 0, "no UTF-8"},
    {"value no UTF-8", start(0, 1) + text("k") + u32(8) + text("\xc0\x80"), 0, "no UTF-8"},
    {"unknown value type", start(0, 1) + text("k") + u32(13) + u64(0), 0, "unknown type 13"},
    {"key twice", start(0, 2) + number("k", 1) + number("k", 2), 0, "\"k\": the key stands twice"},
    {"array of arrays", start(0, 1) + text("k") + u32(9) + u32(9) + u64(1), 0, "arrays of arrays"},
    {"array without end", start(0, 1) + text("k") + u32(9) + u32(4) + u64(100), 0, "in the middle"},
    {"huge array", start(0, 1) + text("k") + u32(9) + u32(10) + u64(uint64_t{1} << 61), 0, "a length of"},
    {"alignment 0", start(0, 1) + number("general.alignment", 0), 0, "alignment is 0"},
    {"alignment 24", start(0, 1) + number("general.alignment", 24), 0, "alignment is 24"},
    {"alignment as text", start(0, 1) + text("general.alignment") + u32(8) + text("32"), 0,
     "alignment is 32"},
    {"rank 0", start(1, 0) + info("w", {}, 0, 0), 32, "\"w\": 0 dimensions"},
    {"rank 9", start(1, 0) + info("w", std::vector<uint64_t>(9, 1), 0, 0), 32, "9 dimensions"},
    {"name of 128 bytes", start(1, 0) + info(std::string(128, 'w'), {1}, 0, 0), 32, "at most 127"},
    {"name empty", start(1, 0) + info("", {1}, 0, 0), 32, "empty"},
    {"name twice", start(2, 0) + info("w", {1}, 0, 0) + info("w", {1}, 0, 32), 64, "stands twice"},
    {"negative extent", start(1, 0) + info("w", {~uint64_t{0}}, 0, 0), 32, "the extent"},
    {"overflow", start(1, 0) + info("w", {1u << 31, 1u << 31, 1u << 31}, 0, 0), 32, "not possible"},
    {"bytes overflow", start(1, 0) + info("w", {1u << 31, 1u << 31}, 0, 0), 32, "too large"},
    {"unknown tensor type", start(1, 0) + info("w", {32}, 4, 0), 32, "unknown tensor type 4"},
    {"part of a block", start(1, 0) + info("w", {100}, 12, 0), 144, "no multiple of the 256"},
    {"crooked offset", start(1, 0) + info("w", {1}, 0, 8), 64, "no multiple of 32"},
    {"behind the end", start(1, 0) + info("w", {9}, 0, 0), 32, "outside the file"},
    {"offset behind the end", start(1, 0) + info("w", {0}, 0, 96), 64, "outside the file"},
    {"overlap", start(2, 0) + info("a", {16}, 0, 0) + info("b", {8}, 0, 32), 96, "overlaps \"a\""},
};

TEST(Gguf, RefusesWhatIsMalformedAndSaysWhy) {
  for (const Malformed& row : kMalformed) {
    SCOPED_TRACE(row.name);
    EXPECT_THAT(complaint_about(row.bytes, row.data), HasSubstr(row.complaint));
  }
}

TEST(Gguf, AsksForMoreWhileTheHeaderGoesOn) {
  const std::string bytes = start(1, 1) + number("k", 7) + info("blocks.0.ffn.0.weight", {32, 2}, 8, 0);
  const uint64_t file_bytes = (bytes.size() + 31) / 32 * 32 + 68;
  for (size_t size = 4; size < bytes.size(); ++size) {
    EXPECT_FALSE(parse_gguf_header(std::as_bytes(std::span(bytes).first(size)), file_bytes, "x")) << size;
  }
  const auto header = parse_gguf_header(std::as_bytes(std::span(bytes)), file_bytes, "x");
  ASSERT_TRUE(header);
  EXPECT_EQ(header->tensors[0].shape, (Shape{2, 32}));
  EXPECT_EQ(header->tensors[0].bytes, 68u);
  EXPECT_EQ(header->tensors[0].offset, file_bytes - 68);
}

TEST(Gguf, ShowsMetadataAsText) {
  const std::string bytes = start(0, 8) + text("u8") + u32(0) + "\xff" + text("i8") + u32(1) + "\xff" +
                            text("f32") + u32(6) + u32(0x3fc00000) + text("b") + u32(7) + "\1" + text("s") +
                            u32(8) + text("wan") + text("list") + u32(9) + u32(5) + u64(2) + u32(3) +
                            u32(0xffffffff) + text("words") + u32(9) + u32(8) + u64(2) + text("a") +
                            text("b") + text("i64") + u32(11) + u64(~uint64_t{1});
  const std::map<std::string, std::string> expected = {
      {"u8", "255"}, {"i8", "-1"},     {"f32", "1.5"},          {"b", "true"},
      {"s", "wan"},  {"list", "3,-1"}, {"words", "[2 values]"}, {"i64", "-2"}};
  EXPECT_EQ(parse(bytes)->metadata, expected);
}

TEST(Gguf, LaysOutAsTheSpecificationSays) {
  const GgufLayout layout = layout_gguf({{.name = "a", .type = find_gguf_type("F32"), .shape = {3}},
                                         {.name = "b", .type = find_gguf_type("q8_0"), .shape = {2, 32}}},
                                        {{"general.architecture", std::string("wan")}, {"n", uint32_t{2}}});
  std::string expected = start(2, 2) + text("general.architecture") + u32(8) + text("wan") + number("n", 2) +
                         info("a", {3}, 0, 0) + info("b", {32, 2}, 8, 32);
  expected.resize((expected.size() + 31) / 32 * 32);
  EXPECT_EQ(layout.head, expected);
  EXPECT_EQ(layout.tensors[1].offset, expected.size() + 32);
  EXPECT_EQ(layout.file_bytes, expected.size() + 32 + 96);
}

TEST(Gguf, KnowsTheSizesOfTypes) {
  const GgufType* q4 = find_gguf_type(Encoding::kQ4_K);
  ASSERT_NE(q4, nullptr);
  EXPECT_EQ(q4->id, 12u);
  EXPECT_EQ(gguf_bytes(*q4, {2, 512}), 2u * 2 * 144);
  EXPECT_EQ(find_gguf_type(DType::kBF16)->id, 30u);
  EXPECT_EQ(find_gguf_type("Q9_K"), nullptr);
}

TEST(Gguf, OpensAsACheckpoint) {
  testing::TempDir dir;
  std::string bytes = start(3, 1) + text("comfy.gguf.orig_shape.conv") + u32(9) + u32(5) + u64(3) + u32(2) +
                      u32(1) + u32(2) + info("conv", {4}, 0, 0) + info("w", {32, 2}, 8, 32) +
                      info("old", {32, 1}, 6, 128);
  bytes.resize((bytes.size() + 31) / 32 * 32);
  bytes += std::string(160, 'x');
  testing::write_text(dir / "model.gguf", bytes);
  const Checkpoint file = Checkpoint::open(dir.path());
  ASSERT_NE(file.find("conv"), nullptr);
  EXPECT_EQ(file.find("conv")->shape, (Shape{2, 1, 2}));
  EXPECT_EQ(file.find("w")->dtype, DType::kU8);
  EXPECT_EQ(file.find("w")->shape, (Shape{2, 34}));
  EXPECT_EQ(file.find("w")->block_type, "Q8_0");
  EXPECT_EQ(file.find("old")->block_type, "Q5_0");
  EXPECT_EQ(file.load(*file.find("w")).raw()[67], std::byte{'x'});
}

}  // namespace
}  // namespace wanslim
