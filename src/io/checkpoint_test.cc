// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

std::map<std::string, Tensor> tensors(std::initializer_list<std::string> names) {
  std::map<std::string, Tensor> out;
  for (const std::string& name : names) out[name] = testing::f32({2, 3}, static_cast<float>(name.size()));
  return out;
}

std::string open_error(const Path& path) {
  try {
    Checkpoint::open(path);
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

std::string index_of(std::initializer_list<std::pair<std::string, std::string>> map) {
  std::string out = R"({"metadata":{"total_size":0},"weight_map":{)";
  for (const auto& [tensor, file] : map)
    out += (out.back() == '{' ? "\"" : ",\"") + tensor + "\":\"" + file + "\"";
  return out + "}}";
}

TEST(Checkpoint, RowsAreThoseOfTheWholeTensor) {
  TempDir dir;
  Tensor matrix(DType::kF32, {5, 3});
  for (size_t i = 0; i < 15; ++i) matrix.as<float>()[i] = static_cast<float>(i);
  std::map<std::string, Tensor> stored;
  stored["a"] = std::move(matrix);
  testing::write_safetensors(dir / "m.safetensors", stored);
  const Checkpoint c = Checkpoint::open(dir / "m.safetensors");
  const Tensor rows = c.load_rows(*c.find("a"), 3, 2);
  EXPECT_EQ(rows.shape(), (Shape{2, 3}));
  EXPECT_THAT(rows.as<float>(), ::testing::ElementsAre(9, 10, 11, 12, 13, 14));
  EXPECT_EQ(c.load_rows(*c.find("a"), 5, 0).bytes(), 0u);
}

TEST(Checkpoint, FileShardsAndFolderHoldTheSameTensors) {
  TempDir dir;
  std::filesystem::create_directories(dir / "one");
  std::filesystem::create_directories(dir / "two/transformer");
  testing::write_safetensors(dir / "one/m.safetensors", tensors({"a", "bb", "ccc"}), {{"format", "pt"}});
  testing::write_safetensors(dir / "two/transformer/m-1.safetensors", tensors({"a", "ccc"}));
  testing::write_safetensors(dir / "two/transformer/m-2.safetensors", tensors({"bb"}));
  testing::write_text(
      dir / "two/transformer/m.safetensors.index.json",
      index_of({{"a", "m-1.safetensors"}, {"bb", "m-2.safetensors"}, {"ccc", "m-1.safetensors"}}));
  for (const char* path :
       {"one", "one/m.safetensors", "two", "two/transformer", "two/transformer/m.safetensors.index.json"}) {
    SCOPED_TRACE(path);
    const Checkpoint c = Checkpoint::open(dir / path);
    ASSERT_EQ(c.tensors().size(), 3u);
    const StoredTensor* t = c.find("ccc");
    ASSERT_NE(t, nullptr);
    EXPECT_EQ(c.load(*t).as<float>()[1], 4.0f);
    EXPECT_EQ(c.find("c"), nullptr);
  }
  EXPECT_EQ(Checkpoint::open(dir / "one").metadata().at("format"), "pt");
}

TEST(Checkpoint, TakesTheFileWithThePublishedNameAmongOthers) {
  TempDir dir;
  testing::write_safetensors(dir / "diffusion_pytorch_model.safetensors", tensors({"a"}));
  testing::write_safetensors(dir / "latents.safetensors", tensors({"a", "bb"}));
  EXPECT_EQ(Checkpoint::open(dir.path()).tensors().size(), 1u);
}

TEST(Checkpoint, RefusesWhatItCannotTrust) {
  TempDir dir;
  const auto folder = [&](const std::string& name) {
    std::filesystem::create_directories(dir / name);
    return dir / name;
  };
  EXPECT_THAT(open_error(dir / "nowhere"), HasSubstr("no such file or folder"));
  EXPECT_THAT(open_error(folder("empty")), HasSubstr("no .safetensors file"));

  testing::write_text(folder("short") / "m.safetensors", "1234567");
  EXPECT_THAT(open_error(dir / "short"), HasSubstr("has 7 bytes"));
  testing::write_text(folder("text") / "m.safetensors", "version https://git-lfs.github.com/spec/v1");
  EXPECT_THAT(open_error(dir / "text"), HasSubstr("header claims"));
  std::filesystem::create_directories(folder("isdir") / "m.safetensors");
  EXPECT_THAT(open_error(dir / "isdir/m.safetensors"), HasSubstr("no .safetensors file"));

  testing::write_safetensors(folder("twice") / "a.safetensors", tensors({"x"}));
  testing::write_safetensors(dir / "twice/b.safetensors", tensors({"x"}));
  EXPECT_THAT(open_error(dir / "twice"), HasSubstr("stands in a.safetensors too"));

  const Path cut = folder("cut") / "m.safetensors";
  testing::write_safetensors(cut, tensors({"x"}));
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) - 1);
  EXPECT_THAT(open_error(cut), HasSubstr("lie outside"));
}

TEST(Checkpoint, RefusesMalformedIndexes) {
  struct Case {
    std::string index;
    const char* complaint;
  };
  const std::vector<Case> cases = {
      {"", "invalid JSON"},
      {"{", "invalid JSON"},
      {"[]", "expected a JSON object"},
      {"{}", "\"weight_map\" is missing"},
      {R"({"weight_map":[]})", "not an object with entries"},
      {R"({"weight_map":{}})", "not an object with entries"},
      {R"({"weight_map":{"x":1}})", "mapped to 1"},
      {R"({"weight_map":{"x":null}})", "mapped to null"},
      {index_of({{"x", ""}}), "expected the name"},
      {index_of({{"x", "../m.safetensors"}}), "expected the name"},
      {index_of({{"x", "/etc/m.safetensors"}}), "expected the name"},
      {index_of({{"x", "m.bin"}}), "expected the name"},
      {R"({"weight_map":{"x":"m\u0000.safetensors"}})", "expected the name"},
      {R"({"weight_map":{"x":"m.safetensors","x":"m.safetensors"}})", "stands twice"},
      {index_of({{"x", "gone.safetensors"}}), "shard gone.safetensors is missing"},
      {index_of({{"y", "m.safetensors"}}), "\"x\" of m.safetensors is not in the index"},
      {index_of({{"x", "m.safetensors"}, {"y", "m.safetensors"}}), "\"y\" is not in m.safetensors"},
      {index_of({{"x", "n.safetensors"}, {"z", "m.safetensors"}}), "should be in"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.index);
    TempDir dir;
    testing::write_safetensors(dir / "m.safetensors", tensors({"x"}));
    testing::write_safetensors(dir / "n.safetensors", tensors({"z"}));
    testing::write_text(dir / "m.safetensors.index.json", c.index);
    EXPECT_THAT(open_error(dir.path()), HasSubstr(c.complaint));
  }
}

TEST(Checkpoint, NoticesAFileThatChangesUnderIt) {
  TempDir dir;
  testing::write_safetensors(dir / "m.safetensors", tensors({"x"}));
  const Checkpoint c = Checkpoint::open(dir.path());
  c.check_unchanged();
  std::filesystem::last_write_time(dir / "m.safetensors",
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THROW(c.check_unchanged(), Error);
  std::filesystem::resize_file(dir / "m.safetensors", 20);
  try {
    c.load(*c.find("x"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.text, HasSubstr("\"x\": the file ends at byte"));
  }
}

}  // namespace
}  // namespace wanslim
