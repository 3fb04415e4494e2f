// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/error.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

struct Malformed {
  const char* name;
  std::string json;
  uint64_t data_bytes;
  const char* complaint;
};

std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "{\"w\":{\"dtype\":" + std::string(dtype) + ",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":" + std::string(offsets) + "}}";
}

const Malformed kMalformed[] = {
    {"empty", "", 0, "not a JSON object"},
    {"not json", "hello", 0, "not a JSON object"},
    {"array", "[]", 0, "not a JSON object"},
    {"leading space", " {}", 0, "not a JSON object"},
    {"cut off", "{\"w\":{\"dtype\":\"F32\"", 0, "invalid JSON"},
    {"trailing garbage", "{}}", 0, "invalid JSON"},
    {"duplicate tensor", "{\"w\":{},\"w\":{}}", 0, "\"w\" stands twice"},
    {"duplicate key", R"({"w":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0,
     "stands twice"},
    {"bad utf-8", "{\"\xff\xfe\":{}}", 0, "invalid JSON"},
    {"deep", std::string("{\"w\":") + std::string(70, '[') + std::string(70, ']') + "}", 0, "deeper"},
    {"entry is a number", "{\"w\":1}", 0, "expected an object"},
    {"entry is null", "{\"w\":null}", 0, "expected an object"},
    {"no dtype", R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4, "expected an object with dtype"},
    {"no shape", R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4, "expected an object with dtype"},
    {"no offsets", R"({"w":{"dtype":"F32","shape":[1]}})", 4, "expected an object with dtype"},
    {"one key more", R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
     "expected an object with dtype"},
    {"unknown dtype", one("\"F31\"", "[1]", "[0,4]"), 4, "unknown dtype \"F31\""},
    {"dtype number", one("32", "[1]", "[0,4]"), 4, "unknown dtype 32"},
    {"lower case dtype", one("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype"},
    {"shape object", one("\"F32\"", "{}", "[0,4]"), 4, "\"shape\" is not a list"},
    {"shape string", one("\"F32\"", "\"1\"", "[0,4]"), 4, "\"shape\" is not a list"},
    {"negative extent", one("\"F32\"", "[-1]", "[0,4]"), 4, "non-negative integer"},
    {"fractional extent", one("\"F32\"", "[1.5]", "[0,4]"), 4, "non-negative integer"},
    {"huge extent", one("\"F32\"", "[18446744073709551615]", "[0,4]"), 4, "non-negative integer"},
    {"extent product overflows", one("\"F32\"", "[4611686018427387904,4]", "[0,4]"), 4, "not possible"},
    {"byte count overflows", one("\"F64\"", "[4611686018427387904]", "[0,4]"), 4, "span 4 bytes"},
    {"too many dimensions", one("\"F32\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
     "\"shape\" is not a list"},
    {"offsets swapped", one("\"F32\"", "[1]", "[4,0]"), 4, "lie outside"},
    {"offsets past the end", one("\"F32\"", "[2]", "[0,8]"), 4, "lie outside the 4 data bytes"},
    {"offsets negative", one("\"F32\"", "[1]", "[-4,0]"), 4, "pair of non-negative integers"},
    {"one offset", one("\"F32\"", "[1]", "[0]"), 4, "pair of non-negative integers"},
    {"three offsets", one("\"F32\"", "[1]", "[0,4,8]"), 8, "pair of non-negative integers"},
    {"offset float", one("\"F32\"", "[1]", "[0,4.0]"), 4, "pair of non-negative integers"},
    {"offset 2^64", one("\"F32\"", "[1]", "[0,18446744073709551616]"), 4, "pair of non-negative integers"},
    {"too few bytes for the shape", one("\"F32\"", "[2]", "[0,4]"), 4, "span 4 bytes, F32 [2] needs 8"},
    {"too many bytes for the shape", one("\"BF16\"", "[1]", "[0,4]"), 4, "span 4 bytes, BF16 [1] needs 2"},
    {"bytes left over", one("\"F32\"", "[1]", "[0,4]"), 5, "the file has"},
    {"gap at the start", one("\"F32\"", "[1]", "[4,8]"), 8, "the tensor before it ends"},
    {"overlap",
     R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
     6, "\"b\": starts at byte"},
    {"same place twice",
     R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
     4, "\"b\": starts at byte"},
    {"metadata not an object", R"({"__metadata__":[]})", 0, "\"__metadata__\" is not an object"},
    {"metadata with a number", R"({"__metadata__":{"format":1}})", 0, "\"format\" is not a string"},
    {"name of 5000 bytes",
     "{\"" + std::string(5000, 'n') + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
     "a tensor name has 5000 bytes"},
};

TEST(Safetensors, RefusesMalformedHeaders) {
  EXPECT_GE(std::size(kMalformed), 40u);
  for (const Malformed& c : kMalformed) {
    SCOPED_TRACE(c.name);
    try {
      parse_safetensors_header(c.json, 8 + c.json.size() + c.data_bytes, "model.safetensors");
      ADD_FAILURE() << "was accepted";
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr(c.complaint));
      EXPECT_THAT(e.text, HasSubstr("model.safetensors"));
    }
  }
}

TEST(Safetensors, HeaderLengthIsCheckedBeforeAnythingIsAllocated) {
  const auto length = [](std::array<uint8_t, 8> b, uint64_t file_bytes) {
    return safetensors_header_bytes(
        std::span<const std::byte, 8>(reinterpret_cast<const std::byte*>(b.data()), 8), file_bytes, "f");
  };
  EXPECT_EQ(length({2, 1, 0, 0, 0, 0, 0, 0}, 1000), 258u);
  EXPECT_THROW(length({2, 1, 0, 0, 0, 0, 0, 0}, 200), Error);
  EXPECT_THROW(length({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1000), Error);
  EXPECT_THROW(length({0, 0, 0, 8, 0, 0, 0, 0}, uint64_t{1} << 40), Error);  // 128 MiB of header
  EXPECT_THROW(length({1, 0, 0, 0, 0, 0, 0, 0}, 3), Error);
}

TEST(Safetensors, LaysOutAsTheReferenceLibraryByDtypeThenName) {
  const auto layout = layout_safetensors({{.name = "b", .dtype = DType::kI8, .shape = {3}},
                                          {.name = "z", .dtype = DType::kBF16, .shape = {1, 2}},
                                          {.name = "a", .dtype = DType::kI8, .shape = {1}},
                                          {.name = "s", .dtype = DType::kF32, .shape = {}}});
  const std::string json =
      R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"z":{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]},)"
      R"("a":{"dtype":"I8","shape":[1],"data_offsets":[8,9]},"b":{"dtype":"I8","shape":[3],"data_offsets":[9,12]}})";
  EXPECT_EQ(layout.head.substr(8, json.size()), json);
  EXPECT_EQ(layout.head.size() % 8, 0u);
  EXPECT_EQ(layout.file_bytes, layout.head.size() + 12);
  EXPECT_EQ(static_cast<uint8_t>(layout.head[0]), layout.head.size() - 8);
}

TEST(Safetensors, ParsesWhatItLaysOut) {
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"quote", "a\"b\\\n\u00e9"}};
  const auto layout =
      layout_safetensors({{.name = "empty", .dtype = DType::kF8E4M3, .shape = {0}},
                          {.name = "\"odd\" name \u6c34", .dtype = DType::kF32, .shape = {2, 2}}},
                         metadata);
  const auto header =
      parse_safetensors_header(std::string_view(layout.head).substr(8), layout.file_bytes, "f");
  EXPECT_EQ(header.metadata, metadata);
  ASSERT_EQ(header.entries.size(), 2u);
  EXPECT_EQ(header.entries[0], layout.entries[0]);
  EXPECT_EQ(header.entries[1], layout.entries[1]);
}

}  // namespace
}  // namespace wanslim
