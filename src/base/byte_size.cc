// SPDX-License-Identifier: Apache-2.0
#include "base/byte_size.h"

#include <cctype>
#include <charconv>
#include <string>

#include "base/error.h"

namespace wanslim {
namespace {

// 1 for no unit, 0 for an unknown one.
double unit_factor(std::string unit) {
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (unit.empty()) return 1;
  const bool binary = unit.size() == 2 && unit[1] == 'i';
  if (unit.size() != 1 && !binary) return 0;
  const size_t power = std::string_view("kmgt").find(unit[0]);
  if (power == std::string_view::npos) return 0;
  double factor = 1;
  for (size_t i = 0; i <= power; ++i) factor *= binary ? 1024 : 1000;
  return factor;
}

}  // namespace

uint64_t parse_byte_size(std::string_view text, std::string_view where) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const double factor = error == std::errc() ? unit_factor({end, text.data() + text.size()}) : 0;
  const double bytes = number * factor;
  if (!(bytes >= 1 && bytes < 0x1p63)) {
    throw Error{{.what = "\"" + std::string(text) + "\" is not a size",
                 .where = std::string(where),
                 .hint = "write it like 4GB or 512MiB",
                 .kind = Error::Kind::kUsage}};
  }
  return static_cast<uint64_t>(bytes);
}

}  // namespace wanslim
