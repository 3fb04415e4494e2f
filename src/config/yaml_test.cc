// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/yaml_dump.h"

namespace wanslim {
namespace {

using Kind = YamlNode::Kind;

const YamlNode& at(const YamlNode& map, std::string_view key) {
  for (const YamlNode& item : map.items) {
    if (item.key == key) return item;
  }
  ADD_FAILURE() << "no key " << key;
  return map;
}

TEST(Yaml, ReadsKindsAndPlaces) {
  const YamlNode root =
      parse_yaml("\xEF\xBB\xBF# first\na: 1\nb:\n  - x\n  - \"y\"\nc: {d: yes, e: }\nf: 1.5\r\n", "t");
  EXPECT_EQ(at(root, "a").kind, Kind::kInt);
  EXPECT_TRUE((at(root, "a").place == Place{2, 4}));
  EXPECT_TRUE((at(root, "b").items[1].place == Place{5, 5}));
  EXPECT_TRUE((at(root, "c").key_place == Place{6, 1}));
  EXPECT_TRUE(at(at(root, "c"), "d").boolean);
  EXPECT_EQ(at(at(root, "c"), "e").kind, Kind::kNull);
  EXPECT_EQ(at(root, "f").number, 1.5);
  EXPECT_EQ(parse_yaml("", "t").kind, Kind::kNull);
}

TEST(Yaml, AliasesAndMergesAreExpanded) {
  const YamlNode root =
      parse_yaml("x: &x {a: 1}\ny: &y {b: 2}\nz: {<<: [*x, *y], c: *x}\nw: {\"<<\": 3}\n", "t");
  EXPECT_EQ(yaml_flow(at(root, "z")), R"({"b": 2, "a": 1, "c": {"a": 1}})");  // as PyYAML orders them
  EXPECT_EQ(yaml_flow(at(root, "w")), R"({"<<": 3})");
  // An anchor may be given again; the later one counts from there on.
  EXPECT_EQ(yaml_flow(parse_yaml("[&a 1, *a, &a 2, *a]", "t")), "[1, 1, 2, 2]");
}

TEST(Yaml, BracketsNeedNoIndentation) {
  EXPECT_EQ(yaml_flow(parse_yaml("a:\n    ext: {\n  x: True\n}\n", "t")), R"({"a": {"ext": {"x": true}}})");
}

TEST(Yaml, BlockTexts) {
  EXPECT_EQ(at(parse_yaml("a: |\n  x\n   y\n\nb: 1\n", "t"), "a").text, "x\n y\n");
  EXPECT_EQ(at(parse_yaml("a: >-\n  x\n  y\n", "t"), "a").text, "x y");
  EXPECT_EQ(at(parse_yaml("a: |\n  no line break at the end", "t"), "a").text, "no line break at the end");
  EXPECT_EQ(at(parse_yaml("a: |\n", "t"), "a").text, "");
  EXPECT_EQ(at(parse_yaml("a: |", "t"), "a").text, "");
}

TEST(Yaml, QuotedTextsThatLibfyamlLoses) {
  EXPECT_EQ(at(parse_yaml("a: \"x\\\\\\\n  yz\"\n", "t"), "a").text, "x\\yz");
  EXPECT_EQ(parse_yaml("'  #\"'''' ''#9 |': 1\n", "t").items[0].key, "  #\"'' '#9 |");
}

// PyYAML 6.0.3: yaml.safe_dump(data, sort_keys=False) of texts and values that are hard to write.
constexpr std::string_view kNasty = R"(plain: a b
empty: ''
colon: 'a: b'
hash: 'a #b'
dash: '- x'
star: '*ffn.2*'
brace: '{a,b}'
quote: it's
dq: say "x"
both: '''"'
num: '12'
bool: 'Yes'
nul: 'null'
date: '2025-01-01'
tab: "a\tb"
nl: 'two

  lines'
nl2: 'end

  '
lead: ' x'
trail: 'x '
uni: "\u4E2D\u6587 \xE9"
emoji: "\U0001F600"
esc: "\e[0m\\"
nel: "\N\L\_\uFEFF"
long: word word word word word word word word word word word word word word word word
  word word word word word word word word word word word word word word end
longq: 'it''s: quoted quoted quoted quoted quoted quoted quoted quoted quoted quoted
  quoted quoted quoted quoted quoted quoted quoted quoted quoted quoted '
longd: "\\ \\ \\ \\ \\ \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9\
  \ words \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words\
  \ \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9 words \xE9\
  \ words \xE9 words \xE9 words \xE9 words \xE9 words "
? xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
: long key
? ''
: empty key
list:
- []
- {}
- - 1
  - - 2
    - a
- b:
  - null
  - true
  - 1.5
  - 1.0e-05
  - 1.0e+22
  - .inf
map:
  k:
    l:
    - m: 1
      n: 2
)";

TEST(YamlDump, IsPyYamlsText) {
  EXPECT_EQ(yaml_dump(parse_yaml(kNasty, "t")), kNasty);
}

TEST(YamlDump, FlowReadsBack) {
  const YamlNode root = parse_yaml(kNasty, "t");
  const std::string line = yaml_flow(root);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(yaml_dump(parse_yaml(line, "t")), kNasty);
}

TEST(YamlDump, WidthBoundsTheLines) {
  YamlNode map = yaml_map();
  yaml_put(map, "k", yaml_string(std::string(200, 'x') + " y"));
  EXPECT_EQ(yaml_dump(map), "k: " + std::string(200, 'x') + "\n  y\n");
  EXPECT_EQ(yaml_dump(map, 1000), "k: " + std::string(200, 'x') + " y\n");
}

}  // namespace
}  // namespace wanslim
