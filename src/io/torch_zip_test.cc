// SPDX-License-Identifier: Apache-2.0
#include "io/torch_zip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/strided.h"
#include "io/testing.h"
#include "io/torch_testing.h"

namespace wanslim {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Path kGolden = Path(WANSLIM_TESTDATA) / "official/pth/mixed";

std::string complaint_about(const Path& path) {
  try {
    Checkpoint::open(path);
  } catch (const Error& e) {
    return e.text;
  }
  return "accepted";
}

class GoldenPth : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenPth, has_the_expected_tensors) {
  const Checkpoint expected = Checkpoint::open(kGolden / "expected.safetensors");
  const Checkpoint got = Checkpoint::open(kGolden / GetParam());
  ASSERT_EQ(got.tensors().size(), expected.tensors().size());
  for (const StoredTensor& want : expected.tensors()) {
    SCOPED_TRACE(want.name);
    const StoredTensor* have = got.find(want.name);
    ASSERT_NE(have, nullptr);
    EXPECT_EQ(have->dtype, want.dtype);
    EXPECT_EQ(have->shape, want.shape);
    const Tensor a = expected.load(want), b = got.load(*have);
    ASSERT_EQ(a.bytes(), b.bytes());
    EXPECT_TRUE(std::equal(a.raw().begin(), a.raw().end(), b.raw().begin()));
  }
  EXPECT_FALSE(got.find("transposed")->strides.empty());
  EXPECT_TRUE(got.find("row_slice")->strides.empty());
  got.check_unchanged();
}

INSTANTIATE_TEST_SUITE_P(all, GoldenPth,
                         ::testing::Values("ordered_dict.pth", "plain_dict.pth", "with_metadata.pth",
                                           "nested_state_dict.pth", "protocol4.pth"));

TEST(TorchZip, reads_pieces_of_a_strided_tensor) {
  const Checkpoint c = Checkpoint::open(kGolden / "plain_dict.pth");
  const StoredTensor& t = *c.find("transposed");
  const Tensor whole = c.load(t);
  for (uint64_t first : {0, 1, 7, 20}) {
    std::vector<std::byte> piece(4 * 5);
    c.read(t, first * 4, piece);
    EXPECT_EQ(std::memcmp(piece.data(), whole.raw().data() + first * 4, piece.size()), 0) << first;
  }
}

TEST(TorchZip, refuses_the_old_form_and_says_what_to_do) {
  const std::string text = complaint_about(kGolden / "legacy_not_zip.pth");
  EXPECT_THAT(text, HasSubstr("before PyTorch 1.6"));
  EXPECT_THAT(text, HasSubstr("torch.save(torch.load("));
}

TEST(TorchZip, refuses_every_cut_off_file) {
  const std::string whole = read_text(kGolden / "plain_dict.pth", 1 << 20);
  TempDir folder;
  for (size_t size = 0; size < whole.size(); size += 13) {
    write_text(folder / "cut.pth", std::string_view(whole).substr(0, size));
    EXPECT_NE(complaint_about(folder / "cut.pth"), "accepted") << size;
  }
}

std::string f32_storage(int64_t elements) {
  return py_storage("FloatStorage", "0", elements);
}
std::string one(int64_t elements, int64_t offset, const std::vector<int64_t>& shape,
                const std::vector<int64_t>& strides) {
  return py_file(py_dict({{"w", py_tensor(f32_storage(elements), offset, shape, strides)}}));
}
const std::string kGood = one(6, 0, {2, 3}, {3, 1});

TEST(TorchZip, reads_zip64_and_comments) {
  TempDir folder;
  ZipBuilder zip = torch_archive(kGood, {std::string(24, '\1')});
  zip.zip64 = true;
  zip.comment = "PK\5\6 in a comment";
  write_text(folder / "a.pt", zip.text());
  const Checkpoint c = Checkpoint::open(folder / "a.pt");
  ASSERT_EQ(c.tensors().size(), 1u);
  EXPECT_EQ(c.load(c.tensors()[0]).as<uint32_t>()[5], 0x01010101u);
}

TEST(TorchZip, joins_names_of_nested_dicts_and_prefers_state_dict) {
  TempDir folder;
  const std::string w = py_tensor(f32_storage(6), 0, {6}, {1});
  const auto names = [&](const std::string& body) {
    write_text(folder / "a.pth", torch_archive(py_file(body), {std::string(24, '\0')}).text());
    std::vector<std::string> out;
    const Checkpoint c = Checkpoint::open(folder / "a.pth");
    for (const StoredTensor& t : c.tensors()) out.push_back(t.name);
    return out;
  };
  EXPECT_THAT(names(py_dict({{"a", py_dict({{"b", w}})}, {"c", w}})), ElementsAre("a.b", "c"));
  EXPECT_THAT(names(py_dict({{"ema", py_dict({{"x", w}})}, {"state_dict", py_dict({{"y", w}})}})),
              ElementsAre("y"));
  EXPECT_THAT(names(py_dict({{"any", py_dict({{"x", w}})}, {"step", py_int(3)}})), ElementsAre("x"));
}

struct Malformed {
  const char* name;
  ZipBuilder zip;
  const char* complaint;
};

ZipBuilder good() {
  return torch_archive(kGood, {std::string(24, '\0')});
}
template <class F>
ZipBuilder bent(F bend) {
  ZipBuilder zip = good();
  bend(zip);
  return zip;
}
ZipBuilder pickled(const std::string& pickle) {
  return torch_archive(pickle, {std::string(24, '\0')});
}

std::vector<Malformed> malformed() {
  const std::string w = py_tensor(f32_storage(6), 0, {6}, {1});
  constexpr int64_t kHuge = int64_t{1} << 40;
  std::string deep = w, self = "}q\1" + py_text("me") + "h\1s";
  for (int i = 0; i < 12; ++i) deep = py_dict({{"d", deep}});
  std::string laughs = "}q\1";
  for (int i = 0; i < 7; ++i) {
    laughs += "0}(";
    for (int j = 0; j < 10; ++j) laughs += py_text(std::to_string(j)) + "h\1";
    laughs += "uq\1";
  }
  return {
      {"deflated", bent([](ZipBuilder& z) { z.members[0].method = 8; }), "is compressed (method 8)"},
      {"encrypted", bent([](ZipBuilder& z) { z.members[1].flags = 1; }), "is encrypted"},
      {"packed size differs", bent([](ZipBuilder& z) { z.members[1].stored = 7; }), "is compressed"},
      {"member twice", bent([](ZipBuilder& z) { z.members.push_back(z.members[1]); }), "stands twice"},
      {"nameless member", bent([](ZipBuilder& z) { z.members.push_back({}); }), "has no name"},
      {"member past the end", bent([](ZipBuilder& z) { z.members[1].size = 100'000; }),
       "outside the archive"},
      {"member of 2^63", bent([](ZipBuilder& z) { z.zip64 = true, z.members[1].size = 1ull << 63; }),
       "outside the archive"},
      {"header past the end", bent([](ZipBuilder& z) { z.members[1].header = 1 << 30; }),
       "outside the archive"},
      {"header elsewhere", bent([](ZipBuilder& z) { z.members[1].header = 3; }), "is damaged"},
      {"header of another member", bent([](ZipBuilder& z) { z.members[1].header = 0; }), "is damaged"},
      {"too many entries", bent([](ZipBuilder& z) { z.entries = 9; }), "zip directory"},
      {"2^60 entries", bent([](ZipBuilder& z) { z.zip64 = true, z.entries = int64_t{1} << 60; }),
       "is said to have"},
      {"directory outside", bent([](ZipBuilder& z) { z.directory_offset = 1 << 20; }), "is said to have"},
      {"directory elsewhere", bent([](ZipBuilder& z) { z.directory_offset = 1; }), "entry 0"},
      {"huge directory", bent([](ZipBuilder& z) { z.zip64 = true, z.directory_bytes = kHuge; }),
       "is said to have"},
      {"directory cut off", bent([](ZipBuilder& z) { z.directory_bytes = 100; }), "zip directory"},
      {"no pickle", bent([](ZipBuilder& z) { z.members[0].name = "archive/other.pkl"; }),
       "holds no data.pkl"},
      {"pickle too deep", bent([](ZipBuilder& z) { z.members[0].name = "a/b/data.pkl"; }),
       "holds no data.pkl"},
      {"two pickles",
       bent([](ZipBuilder& z) { z.members.push_back({.name = "other/data.pkl", .bytes = {}}); }),
       "two pickles"},
      {"big-endian",
       bent([](ZipBuilder& z) { z.members.push_back({.name = "archive/byteorder", .bytes = "big"}); }),
       "big-endian"},
      {"storage missing", torch_archive(kGood, {}), "\"archive/data/0\" is missing"},
      {"storage too short", torch_archive(kGood, {std::string(20, '\0')}), "20 bytes, its tensors expect 24"},
      {"storage too long", torch_archive(kGood, {std::string(28, '\0')}), "28 bytes, its tensors expect 24"},
      {"storage key climbs",
       pickled(
           py_file(py_dict({{"w", py_tensor(py_storage("FloatStorage", "../data.pkl", 6), 0, {6}, {1})}}))),
       "is missing"},
      {"not a dict", pickled(py_file(w)), "no dict of tensors"},
      {"a list of tensors", pickled(py_file("](" + w + "e")), "no dict of tensors"},
      {"empty dict", pickled(py_file("}")), "holds no tensors"},
      {"number as name", pickled(py_file("}K\1" + w + "s")), "name is no text"},
      {"name twice", pickled(py_file(py_dict({{"w", w}, {"w", w}}))), "\"w\" stands twice"},
      {"name of 2000 bytes", pickled(py_file(py_dict({{std::string(2000, 'n'), w}}))), "name has 2000 bytes"},
      {"two state dicts", pickled(py_file(py_dict({{"a", py_dict({{"x", w}})}, {"b", py_dict({{"y", w}})}}))),
       "holds 2 dicts of tensors"},
      {"too deep", pickled(py_file(deep)), "deeper than 8"},
      {"contains itself", pickled(py_file(self)), "deeper than 8"},
      {"a billion laughs", pickled(py_file(py_dict({{"w", w}, {"l", laughs}}))), "more than 1000000 entries"},
      {"offset outside", pickled(one(6, 5, {2}, {1})), "lies outside its storage of 6"},
      {"offset of 2^62", pickled(one(6, int64_t{1} << 62, {2}, {1})), "lies outside"},
      {"shape outside", pickled(one(6, 0, {7}, {1})), "lies outside"},
      {"stride outside", pickled(one(6, 0, {2, 2}, {5, 1})), "lies outside"},
      {"stride of 2^62", pickled(one(6, 0, {4}, {int64_t{1} << 62})), "is not possible"},
      {"shape overflows", pickled(one(6, 0, {kHuge, kHuge}, {0, 0})), "\"w\""},
      {"expanded", pickled(one(6, 0, {kHuge, 6}, {0, 1})), "repeats elements"},
      {"overlapping", pickled(one(6, 0, {4, 3}, {1, 1})), "repeats elements"},
      {"hostile pickle", pickled(py_file(py_name("os", "system") + "(" + py_text("id") + "tR")), "os.system"},
      {"torchscript", pickled(py_file(py_name("__torch__.model", "Net") + ")\x81")), "__torch__.model.Net"},
  };
}

TEST(TorchZip, refuses_malformed_archives) {
  TempDir folder;
  write_text(folder / "good.pth", good().text());
  ASSERT_EQ(complaint_about(folder / "good.pth"), "accepted");
  for (const Malformed& m : malformed()) {
    SCOPED_TRACE(m.name);
    write_text(folder / "bad.pth", m.zip.text());
    const std::string text = complaint_about(folder / "bad.pth");
    EXPECT_THAT(text, HasSubstr(m.complaint));
    EXPECT_THAT(text, HasSubstr("bad.pth"));
  }
}

TEST(Strided, knows_what_is_contiguous) {
  EXPECT_TRUE(is_contiguous({}, {}));
  EXPECT_TRUE(is_contiguous({1, 3}, {77, 1}));
  EXPECT_TRUE(is_contiguous({0, 3}, {9, 9}));
  EXPECT_FALSE(is_contiguous({2, 3}, {1, 2}));
  EXPECT_EQ(strided_extent({2, 3}, {10, 2}), 15u);
  EXPECT_EQ(strided_extent({}, {}), 1u);
  EXPECT_EQ(strided_extent({5, 0}, {INT64_MAX, 1}), 0u);
}

}  // namespace
}  // namespace wanslim
