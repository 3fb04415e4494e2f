// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace wanslim {

Error::Error(Parts p) : parts(std::move(p)) {
  if (!parts.where.empty()) text = parts.where + ": ";
  text += parts.what;
  if (!parts.hint.empty()) text += " (" + parts.hint + ")";
  text = printable(text);
}

Error usage_error(std::string what, std::string where, std::string hint) {
  return Error({.what = std::move(what),
                .where = std::move(where),
                .hint = std::move(hint),
                .kind = Error::Kind::kUsage});
}

Error system_error(std::string_view action, std::string_view path, int error_number) {
  std::string hint;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      hint = "free some space on that disk and run the same command again";
      break;
    case EACCES:
    case EPERM:
      hint = "check the owner and the mode of the path";
      break;
    case EIO:
      hint = "the disk or the network share failed; check it and run the same command again";
      break;
    case ENOENT:
      hint = "check the spelling of the path";
      break;
    case EROFS:
      hint = "the file system is read-only; choose another folder";
      break;
    default:
      break;
  }
  return Error({.what = std::string(action) + ": " + std::strerror(error_number),
                .where = std::string(path),
                .hint = hint,
                .kind = Error::Kind::kSystem});
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "wanslim: internal error: CHECK(%s) failed at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace wanslim
