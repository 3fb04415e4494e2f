// SPDX-License-Identifier: Apache-2.0
// Built in place of png.cc where libpng is absent.
#include "base/error.h"
#include "io/png.h"

namespace wanslim {
namespace {

[[noreturn]] void refuse(std::string_view where) {
  throw Error({.what = "this build cannot handle PNG files",
               .where = std::string(where),
               .hint = "build with libpng (Debian: libpng-dev)"});
}

}  // namespace

bool has_png() {
  return false;
}

Frames decode_png(std::span<const std::byte>, std::string_view where, const FrameLimits&) {
  refuse(where);
}

std::string encode_png(const Frames&) {
  refuse({});
}

}  // namespace wanslim
