// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_scalar.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "config/yaml_quoted.h"

namespace wanslim {
namespace {

struct Row {
  const char* text;
  YamlTag tag;
  const char* value;  // Python's str() or repr() of it; "big": beyond 64 bits
};

// What PyYAML 6.0.3's SafeLoader makes of each.
constexpr Row kRows[] = {
    {"null", YamlTag::kNull, ""},
    {"~", YamlTag::kNull, ""},
    {"Null", YamlTag::kNull, ""},
    {"NULL", YamlTag::kNull, ""},
    {"nULL", YamlTag::kString, ""},
    {"true", YamlTag::kBool, "true"},
    {"True", YamlTag::kBool, "true"},
    {"TRUE", YamlTag::kBool, "true"},
    {"tRue", YamlTag::kString, ""},
    {"yes", YamlTag::kBool, "true"},
    {"Yes", YamlTag::kBool, "true"},
    {"YES", YamlTag::kBool, "true"},
    {"no", YamlTag::kBool, "false"},
    {"off", YamlTag::kBool, "false"},
    {"On", YamlTag::kBool, "true"},
    {"ON", YamlTag::kBool, "true"},
    {"on", YamlTag::kBool, "true"},
    {"y", YamlTag::kString, ""},
    {"n", YamlTag::kString, ""},
    {"Y", YamlTag::kString, ""},
    {"0", YamlTag::kInt, "0"},
    {"-0", YamlTag::kInt, "0"},
    {"+1", YamlTag::kInt, "1"},
    {"12", YamlTag::kInt, "12"},
    {"1_000", YamlTag::kInt, "1000"},
    {"0x10", YamlTag::kInt, "16"},
    {"0xfF", YamlTag::kInt, "255"},
    {"0x", YamlTag::kString, ""},
    {"-0x1A", YamlTag::kInt, "-26"},
    {"0b101", YamlTag::kInt, "5"},
    {"0b2", YamlTag::kString, ""},
    {"017", YamlTag::kInt, "15"},
    {"08", YamlTag::kString, ""},
    {"0o17", YamlTag::kString, ""},
    {"0_7", YamlTag::kInt, "7"},
    {"16:9", YamlTag::kInt, "969"},
    {"1:60", YamlTag::kString, ""},
    {"190:20:30", YamlTag::kInt, "685230"},
    {"1:2:3", YamlTag::kInt, "3723"},
    {"0:1", YamlTag::kString, ""},
    {"+16:09", YamlTag::kInt, "969"},
    {"1.0", YamlTag::kFloat, "1.0"},
    {"1.", YamlTag::kFloat, "1.0"},
    {".5", YamlTag::kFloat, "0.5"},
    {"-.5", YamlTag::kString, ""},
    {"+.5", YamlTag::kString, ""},
    {"1.5e3", YamlTag::kString, ""},
    {"1.5e+3", YamlTag::kFloat, "1500.0"},
    {"1e5", YamlTag::kString, ""},
    {"1e-5", YamlTag::kString, ""},
    {"1.0e-5", YamlTag::kFloat, "1e-05"},
    {"1.0E+5", YamlTag::kFloat, "100000.0"},
    {"1_0.5_0", YamlTag::kFloat, "10.5"},
    {".inf", YamlTag::kFloat, "inf"},
    {"-.inf", YamlTag::kFloat, "-inf"},
    {"+.Inf", YamlTag::kFloat, "inf"},
    {".INF", YamlTag::kFloat, "inf"},
    {".iNF", YamlTag::kString, ""},
    {".nan", YamlTag::kFloat, "nan"},
    {".NaN", YamlTag::kFloat, "nan"},
    {".NAN", YamlTag::kFloat, "nan"},
    {"190:20:30.15", YamlTag::kFloat, "685230.15"},
    {"1:2.", YamlTag::kFloat, "62.0"},
    {"2025-01-01", YamlTag::kDate, ""},
    {"2025-1-1", YamlTag::kString, ""},
    {"2025-01-1", YamlTag::kString, ""},
    {"2025-01-01T12:00:00Z", YamlTag::kDate, ""},
    {"2025-1-1T1:02:03.5+01:00", YamlTag::kDate, ""},
    {"2025-01-01 12:00:00", YamlTag::kDate, ""},
    {"2025-01-01T1:2:3", YamlTag::kString, ""},
    {"<<", YamlTag::kMerge, ""},
    {"=", YamlTag::kValue, ""},
    {"==", YamlTag::kString, ""},
    {"<=", YamlTag::kString, ""},
    {"-", YamlTag::kString, ""},
    {".", YamlTag::kString, ""},
    {"..", YamlTag::kString, ""},
    {"...", YamlTag::kString, ""},
    {"1.2.3", YamlTag::kString, ""},
    {"v1", YamlTag::kString, ""},
    {"1e", YamlTag::kString, ""},
    {"1-", YamlTag::kString, ""},
    {"0.1.0", YamlTag::kString, ""},
    {"per_token", YamlTag::kString, ""},
    {"int8", YamlTag::kString, ""},
    {"?", YamlTag::kString, ""},
    {"1,000", YamlTag::kString, ""},
    {"½", YamlTag::kString, ""},
    {"9223372036854775807", YamlTag::kInt, "9223372036854775807"},
    {"9223372036854775808", YamlTag::kInt, "big"},
    {"-9223372036854775807", YamlTag::kInt, "-9223372036854775807"},
    {"0xFFFFFFFFFFFFFFFFF", YamlTag::kInt, "big"},
    {"0b_", YamlTag::kInt, ""},
    {".e5", YamlTag::kString, ""},
    {"._5", YamlTag::kString, ""},
    {"1.e+5", YamlTag::kFloat, "100000.0"},
    {"1__0", YamlTag::kInt, "10"},
    {"_1", YamlTag::kString, ""},
    {"1_", YamlTag::kInt, "1"},
    {"0x_1", YamlTag::kInt, "1"},
    {"0b1_0", YamlTag::kInt, "2"},
};

TEST(YamlScalar, EachTextAsTheReferencesLoader) {
  for (const Row& row : kRows) {
    EXPECT_EQ(static_cast<int>(resolve_plain_scalar(row.text)), static_cast<int>(row.tag)) << row.text;
    const std::string want = row.value;
    if (want.empty()) continue;
    std::string value = yaml_bool(row.text) ? "true" : "false";
    if (row.tag == YamlTag::kFloat) value = python_float_repr(yaml_float(row.text));
    if (row.tag == YamlTag::kInt) {
      const std::optional<int64_t> whole = yaml_int(row.text);
      value = whole ? std::to_string(*whole) : "big";
    }
    EXPECT_EQ(value, want) << row.text;
  }
}

TEST(YamlScalar, NumbersFromStringsAsPython) {
  EXPECT_EQ(python_float("1e-5"), 1e-5);
  EXPECT_EQ(python_float(" +2.5 "), 2.5);
  EXPECT_EQ(python_float("1_000"), 1000);
  EXPECT_EQ(python_float("1e999"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(python_float("-1e-999"), 0);
  for (const char* bad : {"", " ", "1e", "x", "1_", "_1", "1__0", "0x10", "+-1", "++1", "1 2", "--1"}) {
    EXPECT_EQ(python_float(bad), std::nullopt) << bad;
  }
}

TEST(YamlScalar, ReprAsPython) {
  const std::pair<double, const char*> rows[] = {{0, "0.0"},
                                                 {-0.0, "-0.0"},
                                                 {1, "1.0"},
                                                 {0.1, "0.1"},
                                                 {1e15, "1000000000000000.0"},
                                                 {1e16, "1e+16"},
                                                 {1.5e16, "1.5e+16"},
                                                 {1e-4, "0.0001"},
                                                 {1e-5, "1e-05"},
                                                 {1.25e-7, "1.25e-07"},
                                                 {1e100, "1e+100"},
                                                 {5e-324, "5e-324"},
                                                 {123456.789, "123456.789"},
                                                 {-2.5, "-2.5"},
                                                 {1.0 / 3, "0.3333333333333333"}};
  for (const auto& [value, text] : rows) EXPECT_EQ(python_float_repr(value), text);
}

TEST(YamlQuoted, FoldsAndEscapes) {
  EXPECT_EQ(single_quoted_value("it''s"), "it's");
  EXPECT_EQ(single_quoted_value("a  \n   b\n\n  c"), "a b\nc");
  EXPECT_EQ(double_quoted_value("a\\\\\\\n  b"), "a\\b");  // libfyaml 0.7.12 loses the b
  EXPECT_EQ(double_quoted_value("a \\\n   \\ b"), "a  b");
  EXPECT_EQ(double_quoted_value("a\\t\n b"), "a\t b");
  EXPECT_EQ(double_quoted_value("\\x41\\u00e9\\U0001F600\\N"), "A\xC3\xA9\xF0\x9F\x98\x80\xC2\x85");
  EXPECT_EQ(double_quoted_value("\\ud83d\\ude00"), "\xF0\x9F\x98\x80");
  for (const char* bad :
       {"\\q", "\\x4", "\\u12", "\\U00110000", "\\ud83d", "\\ud83dx", "\\ude00", "\\ud83d\\u0041", "\\"}) {
    EXPECT_EQ(double_quoted_value(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace wanslim
