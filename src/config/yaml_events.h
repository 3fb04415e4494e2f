// SPDX-License-Identifier: Apache-2.0
// YAML text -> a flat row of events. The only code that knows libfyaml; it also mends what libfyaml 0.7.12
// gets wrong: quoted texts are decoded here (yaml_quoted.h), an empty block text that swallows the keys
// behind it is refused, marks stand on the quote and not behind it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/place.h"

struct fy_parser;
struct fy_diag;
struct fy_event;

namespace wanslim {

struct YamlEvent {
  enum class Type : uint8_t { kScalar, kAlias, kListStart, kListEnd, kMapStart, kMapEnd, kDocument, kEnd };
  Type type = Type::kEnd;
  Place place = {};
  std::string text = {};  // kScalar: its value; kAlias: the anchor's name
  std::string anchor = {}, tag = {};
  bool plain = false;  // kScalar: neither quoted nor a block
};

// Events come in document order: kDocument, one node, kDocument for the next document if there is one, kEnd.
// `text` must be valid UTF-8 without control characters. Throws Error with the place in `source`.
class YamlEvents {
 public:
  YamlEvents(std::string_view text, std::string_view source);

  YamlEvent next();

 private:
  struct ParserDelete {
    void operator()(fy_parser* parser) const;
  };
  struct DiagDelete {
    void operator()(fy_diag* diag) const;
  };

  [[noreturn]] void syntax_error() const;
  [[noreturn]] void fail(Place place, std::string what, std::string hint = {}) const;
  YamlEvent take(fy_event* raw, YamlEvent::Type type);
  void take_scalar(fy_event* raw, YamlEvent& event) const;
  void check_block(std::string_view inside, bool at_end, YamlEvent& event) const;

  std::string text_;  // a copy: libfyaml looks at the byte behind the last one
  std::string source_;
  std::unique_ptr<fy_diag, DiagDelete> diag_;
  std::unique_ptr<fy_parser, ParserDelete> parser_;
  std::vector<int> columns_ = {};  // of the lists and maps that are open
  Place last_ = {1, 1};
};

}  // namespace wanslim
