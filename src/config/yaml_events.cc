// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_events.h"

#include <fmt/format.h>
#include <libfyaml.h>

#include <new>
#include <optional>
#include <utility>

#include "config/yaml.h"
#include "config/yaml_quoted.h"

namespace wanslim {
namespace {

using Type = YamlEvent::Type;

std::string token_text(fy_token* token) {
  size_t length = 0;
  const char* text = token ? fy_token_get_text(token, &length) : nullptr;
  return text ? std::string(text, length) : std::string();
}

// Events that say nothing to us are empty.
std::optional<Type> type_of(fy_event_type type) {
  switch (type) {
    case FYET_STREAM_END:
      return Type::kEnd;
    case FYET_DOCUMENT_START:
      return Type::kDocument;
    case FYET_SCALAR:
      return Type::kScalar;
    case FYET_ALIAS:
      return Type::kAlias;
    case FYET_SEQUENCE_START:
      return Type::kListStart;
    case FYET_SEQUENCE_END:
      return Type::kListEnd;
    case FYET_MAPPING_START:
      return Type::kMapStart;
    case FYET_MAPPING_END:
      return Type::kMapEnd;
    default:
      return {};
  }
}

}  // namespace

YamlEvents::YamlEvents(std::string_view text, std::string_view source) : text_(text), source_(source) {
  fy_diag_cfg diag_config;
  fy_diag_cfg_default(&diag_config);
  diag_config.fp = nullptr;
  diag_config.colorize = false;
  diag_config.output_fn = [](fy_diag*, void*, const char*, size_t) {};
  diag_.reset(fy_diag_create(&diag_config));
  if (!diag_) throw std::bad_alloc();
  fy_diag_set_collect_errors(diag_.get(), true);
  fy_parse_cfg config{};
  config.search_path = "";
  config.diag = diag_.get();
  // PyYAML is a YAML 1.1 parser that does not look at the indentation inside brackets.
  config.flags =
      static_cast<fy_parse_cfg_flags>(FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_1 |
                                      FYPCF_SLOPPY_FLOW_INDENTATION | FYPCF_JSON_NONE);
  parser_.reset(fy_parser_create(&config));
  if (!parser_ || fy_parser_set_string(parser_.get(), text_.data(), text_.size()) != 0)
    throw std::bad_alloc();
}

void YamlEvents::ParserDelete::operator()(fy_parser* parser) const {
  fy_parser_destroy(parser);
}

void YamlEvents::DiagDelete::operator()(fy_diag* diag) const {
  fy_diag_destroy(diag);
}

void YamlEvents::fail(Place place, std::string what, std::string hint) const {
  yaml_error(source_, place, std::move(what), std::move(hint));
}

void YamlEvents::syntax_error() const {
  void* previous = nullptr;
  const fy_diag_error* first = fy_diag_errors_iterate(diag_.get(), &previous);
  if (first == nullptr) fail(last_, "not valid YAML");
  fail({first->line, first->column}, fmt::format("not valid YAML: {}", first->msg ? first->msg : "?"),
       "look at indentation, quotes and colons around this place");
}

YamlEvent YamlEvents::next() {
  const auto free_event = [this](fy_event* e) { fy_parser_event_free(parser_.get(), e); };
  while (true) {
    fy_event* raw = fy_parser_parse(parser_.get());
    if (raw == nullptr) syntax_error();
    const std::unique_ptr<fy_event, decltype(free_event)> guard(raw, free_event);
    if (const std::optional<Type> type = type_of(raw->type)) return take(raw, *type);
  }
}

YamlEvent YamlEvents::take(fy_event* raw, Type type) {
  if (const fy_mark* mark = fy_event_start_mark(raw)) last_ = {mark->line + 1, mark->column + 1};
  YamlEvent event{.type = type, .place = last_};
  if (type == Type::kAlias) {
    event.text = token_text(fy_event_get_token(raw));
    --event.place.column;  // libfyaml's mark stands behind the *
  }
  if (type == Type::kScalar) take_scalar(raw, event);
  const bool starts = type == Type::kListStart || type == Type::kMapStart;
  if (starts || type == Type::kScalar) {
    event.anchor = token_text(fy_event_get_anchor_token(raw));
    event.tag = token_text(fy_event_get_tag_token(raw));
  }
  if (starts) columns_.push_back(event.place.column);
  if (type == Type::kListEnd || type == Type::kMapEnd) columns_.pop_back();
  return event;
}

void YamlEvents::take_scalar(fy_event* raw, YamlEvent& event) const {
  fy_token* token = fy_event_get_token(raw);
  const fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
  event.plain = style == FYSS_PLAIN;
  const bool quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
  if (!quoted) event.text = token_text(token);
  if (event.plain) return;
  const fy_mark *start = fy_event_start_mark(raw), *end = fy_event_end_mark(raw);
  if (!start || !end || start->input_pos > end->input_pos || end->input_pos > text_.size()) {
    fail(event.place, "not valid YAML");
  }
  const std::string_view inside =
      std::string_view(text_).substr(start->input_pos, end->input_pos - start->input_pos);
  if (!quoted) {
    check_block(inside, end->input_pos == text_.size(), event);
    return;
  }
  --event.place.column;  // libfyaml's mark stands behind the quote
  const std::optional<std::string> value =
      style == FYSS_SINGLE_QUOTED ? single_quoted_value(inside) : double_quoted_value(inside);
  if (!value) fail(event.place, "invalid escape in double quotes", "write a backslash as \\\\");
  if (value->find('\0') != std::string::npos) fail(event.place, "a text must not hold a NUL character");
  event.text = *value;
}

// An empty block text swallows the keys behind it, or at the end of the file becomes a NUL character; the
// last line of a file without a line break gets one.
void YamlEvents::check_block(std::string_view inside, bool at_end, YamlEvent& event) const {
  std::erase(event.text, '\0');
  const size_t first = inside.find_first_not_of(" \r\n");
  if (first != std::string_view::npos) {
    const size_t line = inside.rfind('\n', first);
    const size_t indent = first - (line == std::string_view::npos ? 0 : line + 1);
    if (static_cast<int>(indent) < (columns_.empty() ? 0 : columns_.back())) {
      fail(event.place, "the text behind | or > is empty, or not indented more than what it belongs to",
           "write \"\" for an empty text");
    }
  }
  const bool unfinished = at_end && !text_.empty() && text_.back() != '\n' && text_.back() != '\r';
  if (unfinished && !event.text.empty() && event.text.back() == '\n') event.text.pop_back();
}

}  // namespace wanslim
