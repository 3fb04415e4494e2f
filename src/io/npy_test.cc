// SPDX-License-Identifier: Apache-2.0
#include "io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/testing.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Path data(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "npy" / name;
}

// The files were written by numpy itself.
TEST(Npy, ReadsWhatNumpyWrites) {
  const Tensor floats = read_npy(data("f4_2x3.npy"));
  EXPECT_EQ(floats.dtype(), DType::kF32);
  EXPECT_EQ(floats.shape(), (Shape{2, 3}));
  EXPECT_THAT(floats.as<float>(), ElementsAre(-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f));
  const Tensor integers = read_npy(data("i8_4.npy"));
  EXPECT_THAT(integers.as<int64_t>(), ElementsAre(1, -2, 3, int64_t{1} << 40));
  const Tensor scalar = read_npy(data("u1_scalar_v2.npy"));
  EXPECT_EQ(scalar.shape(), Shape{});
  EXPECT_THAT(scalar.as<uint8_t>(), ElementsAre(7));
}

TEST(Npy, WritesTheBytesThatNumpyWrites) {
  testing::TempDir folder;
  for (const char* name : {"f4_2x3.npy", "i8_4.npy"}) {
    write_npy(folder / name, read_npy(data(name)));
    EXPECT_EQ(read_text(folder / name, 1000), read_text(data(name), 1000)) << name;
  }
  EXPECT_THROW(npy_header(DType::kBF16, {1}), Error);
}

std::string refusal(std::string_view header, std::string_view elements, int version = 1) {
  std::string text = "\x93NUMPY";
  text += {static_cast<char>(version), '\0', static_cast<char>(header.size()), '\0'};
  if (version > 1) text += {'\0', '\0'};
  text += header;
  text += elements;
  try {
    parse_npy(std::as_bytes(std::span(text)), "a.npy");
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(Npy, RefusesMalformedFiles) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  EXPECT_EQ(refusal(good, "abcd"), "no error");
  EXPECT_EQ(refusal(good, "abcd", 3), "no error");
  EXPECT_THAT(refusal(good, "abcd", 4), HasSubstr("version 4"));
  EXPECT_THAT(refusal(good, "abc"), HasSubstr("does not fill the 3 bytes"));
  EXPECT_THAT(refusal(good, "abcdefgh"), HasSubstr("does not fill the 8 bytes"));
  const auto with = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return refusal("{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + "}",
                   "abcdefgh");
  };
  EXPECT_THAT(with("'>f4'", "False", "(2,)"), HasSubstr("type '>f4'"));
  EXPECT_THAT(with("'|O'", "False", "(1,)"), HasSubstr("type '|O'"));
  EXPECT_THAT(with("[('a', '<f4')]", "False", "(1,)"), HasSubstr("expected '''"));
  EXPECT_THAT(with("'<f4'", "True", "(1, 2)"), HasSubstr("Fortran"));
  EXPECT_EQ(with("'<f4'", "True", "(2,)"), "no error");
  EXPECT_THAT(with("'<f4'", "0", "(2,)"), HasSubstr("True or False"));
  EXPECT_THAT(with("'<f4'", "False", "(-2,)"), HasSubstr("expected a number"));
  EXPECT_THAT(with("'<f4'", "False", "(9999999999999999999,)"), HasSubstr("too large"));
  EXPECT_THAT(with("'<f4'", "False", "(100000000000000, 100000000000000)"), ::testing::Ne("no error"));
  EXPECT_THAT(with("'<f4'", "False", "(2"), HasSubstr("expected ')'"));
  EXPECT_THAT(refusal("{}", ""), HasSubstr("missing"));
  EXPECT_THAT(refusal("{'descr': '<f4', 'descr': '<f4'}", ""), HasSubstr("unexpected key \"descr\""));
  EXPECT_THAT(refusal("{'x", ""), HasSubstr("does not end"));
  EXPECT_THAT(refusal(good + "x", "abcd"), HasSubstr("text after"));
  for (const std::string& text :
       {std::string(), std::string("\x93NUMPY\x01"), std::string("\x93NUMPY\x01\0\xff\xff", 10),
        std::string("\x93NUMPY\x02\0\xff\xff\xff\xff", 12), std::string(200, 'x')}) {
    EXPECT_THROW(parse_npy(std::as_bytes(std::span(text)), "a.npy"), Error);
  }
}

}  // namespace
}  // namespace wanslim
