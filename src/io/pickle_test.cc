// SPDX-License-Identifier: Apache-2.0
#include "io/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/torch_testing.h"

namespace wanslim {
namespace {

using namespace testing;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = PickleValue::Kind;

std::string tensor() {
  return py_tensor(py_storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
}
std::string repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}
std::string call(std::string_view module, std::string_view name, const std::string& args) {
  return py_name(module, name) + args + "R";
}
std::string rebuild(const std::string& args) {
  return call("torch._utils", "_rebuild_tensor_v2", args);
}

TEST(Pickle, builds_numbers_strings_and_containers) {
  const std::string bytes =
      py_file("(K\x07M\x01\x02J\xff\xff\xff\xff\x8a\x01\x80G\x3f\xf8\0\0\0\0\0\0\x88N"s + py_text("a b") +
              "](K\1K\2e}" + py_text("k") + "K\3st");
  const Pickle p = read_pickle(bytes, "p");
  const PickleValue& root = p.values[p.root];
  ASSERT_EQ(root.kind, Kind::kTuple);
  ASSERT_EQ(root.items.size(), 10u);
  const auto item = [&](size_t i) -> const PickleValue& { return p.values[root.items[i]]; };
  EXPECT_EQ(item(0).integer, 7);
  EXPECT_EQ(item(1).integer, 0x201);
  EXPECT_EQ(item(2).integer, -1);
  EXPECT_EQ(item(3).integer, -128);
  EXPECT_EQ(item(4).real, 1.5);
  EXPECT_EQ(item(5).integer, 1);
  EXPECT_EQ(item(6).kind, Kind::kNone);
  EXPECT_EQ(item(7).text, "a b");
  EXPECT_EQ(item(8).items.size(), 2u);
  EXPECT_EQ(p.values[item(9).items[1]].integer, 3);
}

TEST(Pickle, builds_tensors_of_both_generations) {
  const std::string untyped = "(" + py_text("storage") + py_name("torch.storage", "UntypedStorage") +
                              py_text("7") + py_text("cpu") + py_int(6) + "tQ";
  const std::string v3 = call("torch._utils", "_rebuild_tensor_v3",
                              "(" + untyped + py_int(0) + py_tuple({6}) + py_tuple({1}) + "\x89" + "N" +
                                  py_name("torch", "float8_e4m3fn") + "t");
  const std::string bytes = py_file("(" + tensor() + v3 + "t");
  const Pickle p = read_pickle(bytes, "p");
  ASSERT_EQ(p.tensors.size(), 2u);
  EXPECT_EQ(p.tensors[0].dtype, DType::kF32);
  EXPECT_THAT(p.tensors[0].shape, ElementsAre(2, 3));
  EXPECT_THAT(p.tensors[0].strides, ElementsAre(3, 1));
  EXPECT_EQ(p.storages[p.tensors[0].storage].key, "0");
  EXPECT_EQ(p.storages[p.tensors[0].storage].bytes, 24u);
  EXPECT_EQ(p.tensors[1].dtype, DType::kF8E4M3);
  EXPECT_EQ(p.storages[p.tensors[1].storage].bytes, 6u);
}

TEST(Pickle, keeps_a_dict_that_contains_itself_finite) {
  const std::string bytes = py_file("}q\0"s + py_text("me") + "h\0s"s);
  const Pickle p = read_pickle(bytes, "p");
  EXPECT_EQ(p.values[p.root].items[1], p.root);
}

struct Malformed {
  const char* name;
  std::string bytes;
  const char* complaint;
};

const Malformed kMalformed[] = {
    {"empty", "", "cut off"},
    {"text", "hello", "does not start with a protocol"},
    {"protocol 0", "\x80\0N."s, "protocol 0"},
    {"protocol 1", "\x80\1N.", "protocol 1"},
    {"protocol 6", "\x80\6N.", "protocol 6"},
    {"no stop", "\x80\2N", "cut off"},
    {"nothing on the stack", py_file(""), "ends with 0 values"},
    {"two values", py_file("NN"), "ends with 2 values"},
    {"open mark", py_file("N("), "ends with 1 values"},
    {"bytes after the end", py_file("N") + "N.", "bytes follow"},
    {"os.system", py_file(call("os", "system", "(" + py_text("id") + "t")), "os.system"},
    {"posix.system by stack", "\x80\4\x8c\5posix\x8c\6system\x93.", "posix.system"},
    {"builtins.eval", py_file(py_name("builtins", "eval")), "builtins.eval"},
    {"subprocess.Popen", py_file(py_name("subprocess", "Popen")), "subprocess.Popen"},
    {"torch.load", py_file(py_name("torch", "load")), "torch.load"},
    {"operator.attrgetter", py_file(py_name("operator", "attrgetter")), "operator.attrgetter"},
    {"nested name", "\x80\4\x8c\5torch\x8c\x11Storage.__class__\x93.", "torch.Storage.__class__"},
    {"prefix of a known name", py_file(py_name("torch", "FloatStorag")), "torch.FloatStorag"},
    {"known name of another module", py_file(py_name("torch", "OrderedDict")), "torch.OrderedDict"},
    {"name with escape codes", py_file(py_name("a\x1b[2J", "b")), "asks for the Python object"},
    {"name without end", "\x80\2ctorch", "cut off inside a name"},
    {"name of numbers", "\x80\4K\1K\2\x93.", "what is no text"},
    {"instance opcode", py_file("(ios\nsystem\n"), "opcode 0x69"},
    {"object opcode", py_file("(cos\nsystem\no"), "os.system"},
    {"newobj", py_file(py_name("collections", "OrderedDict") + ")\x81"), "opcode 0x81"},
    {"newobj_ex", "\x80\4)})\x92.", "opcode 0x92"},
    {"extension", py_file("\x82\1"), "opcode 0x82"},
    {"text persistent id", py_file("Pid\n"), "opcode 0x50"},
    {"string opcode", py_file("S'a'\n"), "opcode 0x53"},
    {"out of band buffer", "\x80\5\x97.", "opcode 0x97"},
    {"huge bytearray", "\x80\5\x96" + little(1ull << 60, 8) + ".", "opcode 0x96"},
    {"set", "\x80\4\x8f.", "opcode 0x8f"},
    {"unknown opcode", py_file("\xff"), "opcode 0xff"},
    {"string longer than the file", py_file("X\xff\xff\xff\x7f"), "cut off"},
    {"string of 2^64 - 1", "\x80\4\x8d" + little(UINT64_MAX, 8) + ".", "cut off"},
    {"frame longer than the file", "\x80\4\x95" + little(1 << 20, 8) + "N.", "a frame of 1048576"},
    {"long of 255 bytes", py_file("\x8a\xff" + std::string(255, '\1')), "an integer of 255 bytes"},
    {"long4", py_file("\x8b\4\0\0\0\1\1\1\1"s), "opcode 0x8b"},
    {"float cut off", "\x80\2G\1\2", "cut off"},
    {"pop of nothing", py_file("0"), "empty stack"},
    {"pop below a mark", py_file("N(0"), "empty stack"},
    {"memo of nothing", py_file("q\1"), "empty stack"},
    {"memo never stored", py_file("h\7"), "recalls value 7"},
    {"long memo never stored", py_file("j\xff\xff\xff\xff"), "recalls value 4294967295"},
    {"close without open", py_file("t"), "closes a container"},
    {"append to a number", py_file("K\1K\2a"), "what is no list"},
    {"append to a tuple", py_file(")K\2a"), "what is no list"},
    {"set item of a list", py_file("]K\1K\2s"), "what is no dict"},
    {"set item of a tensor", py_file(tensor() + "K\1K\2s"), "what is no dict"},
    {"odd dict", py_file("}(K\1u"), "key without a value"},
    {"odd dict literal", py_file("(K\1d"), "key without a value"},
    {"build on a tensor", py_file(tensor() + "}b"), "sets attributes on"},
    {"build on a plain dict", py_file("}}b"), "sets attributes on"},
    {"build on a function", py_file(py_name("collections", "OrderedDict") + "}b"), "sets attributes on"},
    {"build with a tuple", py_file(call("collections", "OrderedDict", ")") + "N}\x86" + "b"),
     "sets attributes on"},
    {"call of a number", py_file("K\1)R"), "calls what is no function"},
    {"call of a string", py_file(py_text("os.system") + ")R"), "calls what is no function"},
    {"call with a list", py_file(py_name("collections", "OrderedDict") + "]R"), "calls what is no function"},
    {"call of a storage type", py_file(call("torch", "FloatStorage", "(K\1t")), "no function that builds"},
    {"call of a dtype", py_file(call("torch", "float32", ")")), "no function that builds"},
    {"OrderedDict with items", py_file(call("collections", "OrderedDict", "(]t")), "with arguments"},
    {"Size of text", py_file(call("torch", "Size", "(" + py_text("x") + "t")), "no tuple of at most 16"},
    {"Size without arguments", py_file(call("torch", "Size", ")")), "torch.Size with 0"},
    {"parameter of a dict", py_file(call("torch._utils", "_rebuild_parameter", "(}\x88}t")),
     "_rebuild_parameter without"},
    {"tensor without arguments", py_file(rebuild(")")), "built from 0 arguments"},
    {"tensor with nine arguments", py_file(rebuild("(" + repeat("N", 9) + "t")), "built from 9 arguments"},
    {"tensor on a string", py_file(rebuild("(" + py_text("x") + "K\0))\x89}t"s)), "what is no storage"},
    {"negative offset", py_file(py_tensor(py_storage("FloatStorage", "0", 6), -1, {2}, {1})), "the offset"},
    {"negative extent", py_file(py_tensor(py_storage("FloatStorage", "0", 6), 0, {-2}, {1})), "the shape"},
    {"negative stride", py_file(py_tensor(py_storage("FloatStorage", "0", 6), 0, {2}, {-1})), "the stride"},
    {"more strides", py_file(py_tensor(py_storage("FloatStorage", "0", 6), 0, {2}, {1, 1})),
     "1 extents and 2"},
    {"seventeen extents",
     py_file(py_tensor(py_storage("FloatStorage", "0", 6), 0, std::vector<int64_t>(17, 1), {1})),
     "at most 16 integers"},
    {"float in the shape",
     py_file(
         rebuild("(" + py_storage("FloatStorage", "0", 6) + "K\0(G"s + std::string(8, '\0') + "t)\x89}t")),
     "the shape of a tensor"},
    {"persistent number", py_file("K\1Q"), "no tuple of 5"},
    {"persistent of another kind",
     py_file("(" + py_text("module") + py_name("torch", "FloatStorage") + py_text("0") + py_text("cpu") +
             "K\1tQ"),
     "is no storage"},
    {"storage without a type", py_file("(" + py_text("storage") + "NNNNtQ"), "has no type"},
    {"storage of a dtype",
     py_file("(" + py_text("storage") + py_name("torch", "float32") + py_text("0") + py_text("cpu") +
             "K\1tQ"),
     "no type of storage"},
    {"storage without a key", py_file(py_storage("FloatStorage", "", 6)), "the key of a storage"},
    {"storage of negative size", py_file(py_storage("FloatStorage", "0", -6)), "the storage size"},
    {"storage of 2^62 doubles", py_file(py_storage("DoubleStorage", "0", int64_t{1} << 62)), "a storage of"},
    {"complex storage", py_file(py_storage("ComplexFloatStorage", "0", 1)), "torch.ComplexFloatStorage"},
    {"v3 without a dtype",
     py_file(call("torch._utils", "_rebuild_tensor_v3",
                  "(" + py_storage("FloatStorage", "0", 6) + "K\0))\x89NNt"s)),
     "what is no dtype"},
    {"v3 of another dtype",
     py_file(call("torch._utils", "_rebuild_tensor_v3",
                  "(" + py_storage("FloatStorage", "0", 6) + "K\0))\x89N"s + py_name("torch", "int8") + "t")),
     "different dtypes"},
};

TEST(Pickle, refuses_malformed_and_hostile_ones) {
  for (const Malformed& m : kMalformed) {
    SCOPED_TRACE(m.name);
    try {
      read_pickle(m.bytes, "file.pth: data.pkl");
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr(m.complaint));
      EXPECT_THAT(e.text, HasSubstr("file.pth: data.pkl: byte"));
    }
  }
}

TEST(Pickle, survives_bombs) {
  // A million levels of nesting, a list that doubles forty times, values without end, a memo index near 2^32.
  const std::string deep = py_file(repeat("(", 400'000) + repeat("t", 400'000));
  EXPECT_EQ(read_pickle(deep, "p").values.size(), 400'000u);
  std::string doubling = "]q\0"s;
  for (int i = 0; i < 40; ++i) doubling += "](h\0h\0eq\0"s;
  EXPECT_THROW(read_pickle(py_file(doubling), "p"), Error);
  std::string laughs = "]q\0"s;
  for (int i = 0; i < 40; ++i) laughs += "](h\0h\0e\x86q\0"s;
  EXPECT_LT(read_pickle(py_file(laughs), "p").values.size(), 100u);
  EXPECT_THROW(read_pickle(py_file(repeat("N", 1'100'000)), "p"), Error);
  EXPECT_NO_THROW(read_pickle(py_file("Nr\xfe\xff\xff\xff"), "p"));
  EXPECT_THROW(read_pickle(std::string(17'000'000, 'N'), "p"), Error);
}

}  // namespace
}  // namespace wanslim
