// SPDX-License-Identifier: Apache-2.0
// The one error type for everything that a user, a file or the machine can cause, and CHECK for bugs.
//
//   throw Error{.what = "tensor lies outside the file", .where = "a.safetensors: \"blocks.3.ffn.0.weight\"",
//               .hint = "download the file again"};
//
// `what` says what is wrong with got and expected values, `where` names file, tensor or line:column, `hint`
// says what to do. The library throws; only cli prints and exits (status 1, or 2 for Kind::kUsage, 130 for
// kInterrupted).
#pragma once
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace wanslim {

struct Error : std::exception {
  enum class Kind : uint8_t {
    kInput,        // bad file, recipe, weight value: trying again will not help
    kUsage,        // bad command line
    kSystem,       // the machine refused: full disk, read error; the same run can be tried again
    kInterrupted,  // SIGINT or SIGTERM; the same run can be resumed
  };
  struct Parts {
    std::string what = {}, where = {}, hint = {};
    Kind kind = Kind::kInput;
  };
  explicit Error(Parts p);
  const char* what() const noexcept override { return text.c_str(); }

  Parts parts;
  std::string text;  // "where: what (hint)" on one line, control characters replaced by '?'
};

// Kind::kUsage.
Error usage_error(std::string what, std::string where, std::string hint = {});

// System call failure on `path`: the text of `error_number`, with a hint for ENOSPC, EACCES, EIO and the
// like.
Error system_error(std::string_view action, std::string_view path, int error_number);

// Replaces control characters so that a hostile name cannot write escape sequences to a terminal.
std::string printable(std::string_view text);

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace wanslim

// A bug of ours, never reachable by input: prints file and line, aborts.
#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::wanslim::check_failed(#condition, __FILE__, __LINE__))
