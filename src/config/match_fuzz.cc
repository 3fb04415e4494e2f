// SPDX-License-Identifier: Apache-2.0
// First line: a pattern; the rest: a name. Any pattern compiles or is an Error, and matches itself.
#include "config/match.h"

#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "config/braces.h"

namespace {

// A thousand words cost milliseconds and look alike: of the patterns with many, one in 256 is compiled.
bool is_worth_a_run(std::string_view pattern) {
  constexpr size_t kFew = 4;
  if (!pattern.empty() && static_cast<uint8_t>(pattern.back()) % 256 == 0) return true;
  try {
    wanslim::expand_braces(pattern, kFew);
    return true;
  } catch (const wanslim::Error&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const std::string_view pattern = text.substr(0, line);
  const std::string_view name = line == std::string_view::npos ? pattern : text.substr(line + 1);
  if (!is_worth_a_run(pattern)) return 0;
  try {
    const wanslim::LayerPattern compiled(pattern);
    compiled.matches(name);
    if (!compiled.matches(pattern)) std::abort();
    if (wanslim::expand_braces(pattern).size() > wanslim::kBraceLimit) std::abort();
  } catch (const wanslim::Error&) {
  }
  return 0;
}
