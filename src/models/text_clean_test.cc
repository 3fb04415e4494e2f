// SPDX-License-Identifier: Apache-2.0
#include "models/text_clean.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "io/file.h"
#include "models/text_html.h"
#include "models/text_unicode.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;

// Cases from ftfy 6.3.1 and Python's html: its documentation's examples and random mixtures of mojibake,
// entities, ligatures, widths and controls.
TEST(CleanPrompt, equals_ftfy) {
  const Path path = Path(WANSLIM_TESTDATA) / "text/ftfy.json";
  const Json cases = parse_json(read_text(path, 1 << 20), path.string());
  EXPECT_GT(cases.size(), 250u);
  for (const Json& c : cases) {
    const std::string text = c.at("text").get<std::string>();
    EXPECT_EQ(clean_prompt(text), c.at("clean").get<std::string>()) << c.at("text");
  }
}

TEST(CleanPrompt, leaves_zero_width_characters_and_ordinary_text) {
  for (const char* text : {"zero\u200bwidth", "soft\u00adhyphen", "Größe 12 µm", "naïve café", "日本語の文。",
                           "Привет, мир!", "x² + y³ ± ½", "«guillemets» – dash"}) {
    EXPECT_EQ(clean_prompt(text), text);
  }
  EXPECT_EQ(clean_prompt("画面，静止"), "画面,静止");
}

TEST(CleanPrompt, refuses_what_is_no_utf8_and_what_is_too_long) {
  for (const std::string bad :
       {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\xe2\x28\xa1"}) {
    try {
      clean_prompt(bad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_THAT(e.text, HasSubstr("no valid UTF-8"));
    }
  }
  EXPECT_THROW(clean_prompt(std::string(kMaxPromptBytes + 1, 'a')), Error);
}

TEST(HtmlUnescape, follows_html5) {
  const auto loose = [](const char* text) { return encode_utf8(html_unescape(decode_utf8(text))); };
  const auto strict = [](const char* text) { return encode_utf8(html_unescape_strict(decode_utf8(text))); };
  EXPECT_EQ(loose("&notanentity; &copycat &#x80; &#0; &#xd800; &#1; &#13;x"),
            "¬anentity; ©cat € \ufffd \ufffd  \rx");
  EXPECT_EQ(loose("&#99999999999999999999; &NotEqualTilde; & &; &#; &#x;"), "\ufffd ≂̸ & &; &#; &#x;");
  EXPECT_EQ(strict("this&not that &copy; &COPY &EACUTE; &szlig; &SZLIG;"), "this&not that © &COPY É ß SS");
  EXPECT_EQ(strict("&#59; &#x41; &#65"), "&#59; A &#65");
}

TEST(Unicode, composes_and_orders_marks) {
  EXPECT_EQ(encode_utf8(to_nfc(U"e\u0327\u0301")), "ȩ\u0301");
  EXPECT_EQ(to_nfc(U"\u1100\u1161\u11a8"), U"각");
  EXPECT_EQ(to_nfc(U"\u212b\u0344"), U"\u00c5\u0308\u0301");
  EXPECT_EQ(to_nfc(U"\u0958"), U"\u0915\u093c");  // excluded from composition
}

TEST(Unicode, finds_grapheme_clusters) {
  const auto clusters = [](std::u32string_view text) {
    std::vector<size_t> out;
    for (size_t at = 0; at < text.size(); out.push_back(at)) at = grapheme_end(text, at);
    return out;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(clusters(U"e\u0301\r\na"), ElementsAre(2, 4, 5));
  EXPECT_THAT(clusters(U"👨\u200d👩\u200d👧x"), ElementsAre(5, 6));
  EXPECT_THAT(clusters(U"😀\u200d\u200d😀"), ElementsAre(3, 4));
  EXPECT_THAT(clusters(U"🇨🇳🇺🇸🇩"), ElementsAre(2, 4, 5));
  EXPECT_THAT(clusters(U"\u1100\u1161\u11a8\u1100"), ElementsAre(3, 4));
}

}  // namespace
}  // namespace wanslim
